// Gain and read noise of the camera, with their errors, from one exposure alone: a row in the Results table.
#@ ImagePlus (label="Exposure (stack of sub-frames)") image
#@ Integer (label="First read, 0 = first valid", description="Counted from 1", value=0, min=0, persist=false) first
#@ Integer (label="Last read, 0 = to the end", value=0, min=0, persist=false) last
#@ Double (label="Gain [e-/ADU] where it is known, 0 = from the image or measured", value=0, min=0, persist=false) gain_e_per_adu
#@output Double gain
#@output Double gain_error
#@output Double read_noise_e
#@output Double read_noise_error_e
#@output Double read_noise_adu
#@output Double saturation_adu

import org.quietframe.Command
import org.quietframe.NdrCalibration

found = Command.run('Quietframe NDR Calibrate') {
    NdrCalibration.measure(image, first, last, gain_e_per_adu)
}
gain = found?.gain_e_per_adu
gain_error = found?.gain_error
read_noise_e = found?.read_noise_e
read_noise_error_e = found?.read_noise_error_e
read_noise_adu = found?.read_noise_adu
saturation_adu = found?.saturation_adu
