# Report SNR = mean(bright) / std(dark) and PSNR' = max / std(dark) of every plane, into the Results table.
#@ ImagePlus (label="Image") image
#@ String (label="Bright region", description="auto (brightest 17 x 17 square), selection, x,y,width,height, a .roi file, or a name in the overlay or the ROI Manager", value="auto", persist=false) bright
#@ String (label="Dark region", description="auto (darkest 17 x 17 square), or as above", value="auto", persist=false) dark
#@output Double snr
#@output Double psnr_prime

from org.quietframe import Command
from quietframe_fiji.regions import measure_image

row = Command.run("Quietframe ROI SNR", lambda: measure_image(image, bright, dark))
if row is not None:
    snr, psnr_prime = row["snr"], row["psnr_prime"]
