// Does the graphics card do the work? Runs one model on the CPU and with provider=auto, and compares time and pixels.
//
// The argument holds key=value words, values with spaces in brackets:
//   model=[package.zip or .onnx] size=1024 runs=3
// The last line printed is "gpu_check: cuda, ..." or "gpu_check: cpu, ..." with the reason; the macro returns cuda or cpu.

// What the function below uses too.
var model, noise, runs;

model = option("model", "");
size = option("size", "1024");
runs = parseInt(option("runs", "3"));

setBatchMode(true);
run("Quietframe Doctor");
newImage("noise", "32-bit black", size, size, 1);
run("Add...", "value=300");
run("Add Specified Noise...", "standard=20");
noise = getImageID();
cpu = seconds("cpu");
cpuResult = getImageID();
auto = seconds("auto");
autoResult = getImageID();
provider = setting("quietframe.provider");
note = setting("quietframe.provider_note");
imageCalculator("Difference create", cpuResult, autoResult);
getStatistics(area, mean, least, most);
selectImage(cpuResult);
getStatistics(area, mean, low, high);
close("*");
print("CPU " + d2s(cpu, 3) + " s, auto " + d2s(auto, 3) + " s, pixels differ by at most " + d2s(most / (high - low) * 100, 4) + " % of the range");
print("gpu_check: " + provider + ", " + note);
return provider;

// The shortest of several runs; the first one starts the network and is left out.
function seconds(provider) {
    best = 1e9;
    for (i = 0; i <= runs; i++) {
        selectImage(noise);
        start = getTime();
        run("Quietframe Denoise", "model=[" + model + "] provider=" + provider);
        if (i > 0) best = minOf(best, (getTime() - start) / 1000);
        if (i < runs) close();
    }
    return best;
}

// A line "key = value" of the active image's Info.
function setting(key) {
    lines = split(getMetadata("Info"), "\n");
    for (i = 0; i < lines.length; i++) {
        if (startsWith(lines[i], key + " = ")) return substring(lines[i], lengthOf(key) + 3);
    }
    return "";
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
