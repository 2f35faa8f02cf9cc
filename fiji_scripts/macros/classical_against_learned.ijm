// ImageJ's Gaussian blur and median beside a trained model on one image: SNR in the same two regions, and a picture.
//
// The argument holds key=value words, values with spaces in brackets:
//   input=[image.tif] model=[package.zip or .onnx] output=[folder] sigmas=1,2 radii=1,2 bright=auto dark=auto provider=auto
// Written: snr.csv (method, snr, psnr_prime, seconds) and montage.png, all in the gray levels of the noisy image. SNR
// here is mean(bright) / std(dark): a blur raises it and takes the detail too, so look at the picture as well.
// Of a stack the first plane is taken. The last line printed is "classical_against_learned: N methods".

// What the functions below use too.
var noisy, names, images, table, bright, dark;

input = option("input", "");
model = option("model", "");
output = option("output", "");
sigmas = split(option("sigmas", "1,2"), ",");
radii = split(option("radii", "1,2"), ",");
bright = option("bright", "auto");
dark = option("dark", "auto");
provider = option("provider", "auto");
if (!File.exists(input)) exit("classical_against_learned: " + input + " does not exist; give input=[image.tif]");
if (!File.isDirectory(output)) exit("classical_against_learned: " + output + " is no folder; give output=[folder]");
if (!endsWith(output, File.separator)) output = output + File.separator;

setBatchMode(true);
run("Clear Results");
open(input);
if (nSlices > 1) run("Duplicate...", "title=noisy");
noisy = getImageID();
run("32-bit");
getMinAndMax(low, high);
table = "method,snr,psnr_prime,seconds\n";
names = newArray("noisy");
images = newArray(1);
images[0] = noisy;
measure("noisy", 0);
bright = getResultString("bright", nResults - 1);
dark = getResultString("dark", nResults - 1);
for (i = 0; i < sigmas.length; i++) classical("Gaussian sigma " + sigmas[i], "Gaussian Blur...", "sigma=" + sigmas[i]);
for (i = 0; i < radii.length; i++) classical("Median radius " + radii[i], "Median...", "radius=" + radii[i]);
selectImage(noisy);
start = getTime();
run("Quietframe Denoise", "model=[" + model + "] provider=" + provider);
keep("learned", (getTime() - start) / 1000);

newImage("all", "32-bit black", getWidth(), getHeight(), images.length);
all = getImageID();
for (i = 0; i < images.length; i++) {
    selectImage(images[i]);
    run("Select All");
    run("Copy");
    selectImage(all);
    setSlice(i + 1);
    run("Paste");
    setMetadata("Label", names[i]);
}
run("Select None");
setMinAndMax(low, high);
run("8-bit");
run("Make Montage...", "columns=" + images.length + " rows=1 scale=1 border=0 font=10 label");
saveAs("PNG", output + "montage.png");
File.saveString(table, output + "snr.csv");
close("*");
print("classical_against_learned: " + names.length + " methods");
return "" + names.length;

// Run a filter of ImageJ on a copy of the noisy image.
function classical(name, command, options) {
    selectImage(noisy);
    run("Duplicate...", "title=[" + name + "]");
    start = getTime();
    run(command, options);
    keep(name, (getTime() - start) / 1000);
}

// Measure the active image and keep it for the picture.
function keep(name, seconds) {
    names = Array.concat(names, name);
    images = Array.concat(images, getImageID());
    measure(name, seconds);
}

function measure(name, seconds) {
    run("Quietframe ROI SNR", "bright=[" + bright + "] dark=[" + dark + "]");
    row = nResults - 1;
    table = table + name + "," + getResult("snr", row) + "," + getResult("psnr_prime", row) + "," + seconds + "\n";
    print(name + ": SNR " + d2s(getResult("snr", row), 2) + ", " + d2s(seconds, 3) + " s");
}

// The value of a key in the macro's argument.
function option(key, fallback) {
    words = " " + getArgument();
    start = indexOf(words, " " + key + "=");
    if (start < 0) return fallback;
    value = substring(words, start + lengthOf(key) + 2);
    if (startsWith(value, "[")) return substring(value, 1, indexOf(value, "]"));
    end = indexOf(value, " ");
    if (end < 0) return value;
    return substring(value, 0, end);
}
