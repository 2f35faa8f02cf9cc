// SNR of several bright regions against one dark region, every plane of an image, as a CSV table.
//
// The argument holds key=value words, values with spaces in brackets:
//   input=[image.tif] output=[snr.csv] regions=[10,10,40,40;80,20,30,30] dark=auto
// A region is x,y,width,height, a .roi file, or a name in the image's overlay. Columns of the table: region, plane, snr,
// psnr_prime, mean_bright, mean_dark, std_dark. The last line printed is "snr_table: N rows".

input = option("input", "");
output = option("output", "");
regions = split(option("regions", "auto"), ";");
dark = option("dark", "auto");
if (!File.exists(input)) exit("snr_table: " + input + " does not exist; give input=[image.tif]");
if (output == "") exit("snr_table: no output is given; give output=[snr.csv]");

setBatchMode(true);
run("Clear Results");
open(input);
columns = newArray("snr", "psnr_prime", "mean_bright", "mean_dark", "std_dark");
table = "region,plane";
for (c = 0; c < columns.length; c++) table = table + "," + columns[c];
table = table + "\n";
rows = 0;
for (i = 0; i < regions.length; i++) {
    start = nResults;
    run("Quietframe ROI SNR", "bright=[" + regions[i] + "] dark=[" + dark + "]");
    for (row = start; row < nResults; row++) {
        table = table + "\"" + regions[i] + "\"," + (row - start + 1);
        for (c = 0; c < columns.length; c++) table = table + "," + getResult(columns[c], row);
        table = table + "\n";
        rows++;
    }
}
File.saveString(table, output);
close("*");
print("snr_table: " + rows + " rows");
return "" + rows;

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
