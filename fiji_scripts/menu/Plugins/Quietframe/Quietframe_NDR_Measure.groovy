// Report SNR and PSNR' of every frame, and what a restored image gains over it, into the Results table.
#@ ImagePlus (label="Image or stack") image
#@ String (label="Restored image (title), empty = none", value="", required=false, persist=false) restored
#@ String (label="Bright region", description="auto (brightest 17 x 17 square of the mean of all frames), selection, x,y,width,height, a .roi file, or a name in the overlay or the ROI Manager", value="auto", persist=false) bright
#@ String (label="Dark region", description="auto (darkest 17 x 17 square), or as above", value="auto", persist=false) dark
#@output Double snr
#@output Double psnr_prime
#@output Double snr_gain_percent
#@output Double psnr_prime_gain_percent

import org.quietframe.Command
import org.quietframe.NdrMeasure

means = Command.run('Quietframe NDR Measure') {
    NdrMeasure.measure(image, restored ?: '', bright, dark)
}
snr = means?.snr
psnr_prime = means?.psnr_prime
snr_gain_percent = means?.snr_gain_percent
psnr_prime_gain_percent = means?.psnr_prime_gain_percent
