// Denoise every TIFF of a folder: exposures are subtracted first, single images are taken as they are.
//
// The argument holds key=value words, values with spaces in brackets:
//   input=[folder] output=[folder] model=[package.zip or .onnx] difference=20 spacing=guarded sigma=1 provider=auto
// Written: NAME_DENOISED.tif for each file, and snr.csv with the SNR of the noisy, the blurred and the denoised image in
// the same two regions. The last line printed is "denoise_folder: N files", which says that nothing stopped it.

input = folder(option("input", ""), "Folder of exposures");
output = folder(option("output", ""), "Folder for the results");
model = option("model", "");
difference = parseInt(option("difference", "20"));
spacing = option("spacing", "guarded");
sigma = option("sigma", "1");
provider = option("provider", "auto");

setBatchMode(true);
run("Clear Results");
files = getFileList(input);
done = 0;
table = "file,noisy,blurred,denoised\n";
for (i = 0; i < files.length; i++) {
    name = files[i];
    if (!endsWith(toLowerCase(name), ".tif") && !endsWith(toLowerCase(name), ".tiff")) continue;
    open(input + name);
    if (nSlices > 1) {
        run("Quietframe NDR Subtract", "difference=" + difference + " spacing=" + spacing);
    }
    noisy = getImageID();
    noisySnr = snr("auto", "auto");
    bright = getResultString("bright", nResults - 1);
    dark = getResultString("dark", nResults - 1);

    run("Duplicate...", "title=blurred duplicate");
    run("Gaussian Blur...", "sigma=" + sigma + " stack");
    blurredSnr = snr(bright, dark);

    selectImage(noisy);
    run("Quietframe Denoise", "model=[" + model + "] provider=" + provider);
    denoisedSnr = snr(bright, dark);
    base = substring(name, 0, lastIndexOf(name, "."));
    saveAs("Tiff", output + base + "_DENOISED.tif");
    table = table + "\"" + name + "\"," + noisySnr + "," + blurredSnr + "," + denoisedSnr + "\n";
    print(name + ": SNR " + d2s(noisySnr, 2) + " noisy, " + d2s(blurredSnr, 2) + " blurred, " + d2s(denoisedSnr, 2) + " denoised");
    close("*");
    done++;
}
File.saveString(table, output + "snr.csv");
print("denoise_folder: " + done + " files");
return "" + done;

// SNR of the first plane of the active image, in two regions.
function snr(bright, dark) {
    row = nResults;
    run("Quietframe ROI SNR", "bright=[" + bright + "] dark=[" + dark + "]");
    return getResult("snr", row);
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

// A folder that ends in a separator; asked for when it is not given.
function folder(path, prompt) {
    if (path == "") return getDirectory(prompt);
    if (!endsWith(path, File.separator)) path = path + File.separator;
    if (!File.isDirectory(path)) exit("denoise_folder: " + path + " is no folder");
    return path;
}
