// One picture out of an exposure: the same start, ever shorter differences, side by side with their SNR below.
//
// The argument holds key=value words, values with spaces in brackets:
//   input=[exposure.tif] output=[montage.png] differences=40,20,10,5,1 first=1 bright=auto dark=auto scale=1
// The regions are found in the first (longest) difference and kept for the others. The last line printed is
// "ndr_montage: N differences".

input = option("input", "");
output = option("output", "");
differences = split(option("differences", "40,20,10,5,1"), ",");
first = option("first", "1");
bright = option("bright", "auto");
dark = option("dark", "auto");
scale = option("scale", "1");
if (!File.exists(input)) exit("ndr_montage: " + input + " does not exist; give input=[exposure.tif]");
if (output == "") exit("ndr_montage: no output is given; give output=[montage.png]");

setBatchMode(true);
run("Clear Results");
open(input);
exposure = getImageID();
stack = 0;
for (i = 0; i < differences.length; i++) {
    selectImage(exposure);
    run("Quietframe NDR Subtract", "difference=" + differences[i] + " first=" + first + " spacing=single");
    difference = getImageID();
    run("Quietframe ROI SNR", "bright=[" + bright + "] dark=[" + dark + "]");
    row = nResults - 1;
    bright = getResultString("bright", row);
    dark = getResultString("dark", row);
    label = "difference " + differences[i] + ", SNR " + d2s(getResult("snr", row), 2);
    // Every difference in its own gray levels: a difference of 1 is a fortieth as bright as one of 40.
    run("Enhance Contrast", "saturated=0.35");
    run("8-bit");
    if (stack == 0) {
        width = getWidth();
        height = getHeight();
        newImage("differences", "8-bit black", width, height, differences.length);
        stack = getImageID();
    }
    selectImage(difference);
    run("Select All");
    run("Copy");
    selectImage(stack);
    setSlice(i + 1);
    run("Paste");
    setMetadata("Label", label);
    selectImage(difference);
    close();
}
selectImage(stack);
run("Select None");
run("Make Montage...", "columns=" + differences.length + " rows=1 scale=" + scale + " border=0 font=10 label");
saveAs("PNG", output);
close("*");
print("ndr_montage: " + differences.length + " differences");
return "" + differences.length;

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
