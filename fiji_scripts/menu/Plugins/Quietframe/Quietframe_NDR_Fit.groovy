// The rate of every pixel from all reads of an exposure, its variance, and flags.
#@ ImagePlus (label="Exposure (stack of sub-frames)") image
#@ String (label="Method", description="optimal weights reads by photon and read noise", choices={"optimal", "last-first", "fowler", "lsq"}, value="optimal", persist=false) method
#@ Integer (label="First read, 0 = first valid", description="Counted from 1", value=0, min=0, persist=false) first
#@ Integer (label="Last read, 0 = to the end", value=0, min=0, persist=false) last
#@ Double (label="Jumps above [sigma], 0 = no test", description="Significance above which a step in a ramp is a cosmic ray or blink", value=5, min=0, persist=false) jump_sigma
#@ Double (label="Part of the full well that is trusted", value=0.85, min=0, max=1, persist=false) full_well_fraction
#@ String (label="Unit", description="rate is e-/px/s, electrons e-/px/sub-frame, adu ADU/px/sub-frame; auto takes the first that is known", choices={"auto", "rate", "electrons", "adu"}, value="auto", persist=false) unit
#@ Double (label="Gain [e-/ADU], 0 = from the image or its ramps", value=0, min=0, persist=false) gain_e_per_adu
#@ Double (label="Read noise [e- rms], 0 = from the image or its ramps", value=0, min=0, persist=false) read_noise_e
#@ Double (label="Time per sub-frame [s], 0 = from the image", value=0, min=0, persist=false) t_subframe_s
#@ Double (label="Full well [e-], 0 = from the image", value=0, min=0, persist=false) full_well_e
#@ Double (label="Black level [ADU], -1 = from the image", value=-1, persist=false) black_adu
#@ Double (label="Dark current to take off [e-/px/s]", value=0, min=0, persist=false) dark_e_per_s
#@output ImagePlus rate
#@output ImagePlus variance
#@output ImagePlus flags

import org.quietframe.Command
import org.quietframe.NdrRates

fitted = Command.run('Quietframe NDR Fit') {
    NdrRates.fit(image,
        [method: method, first: first, last: last, jump_sigma: jump_sigma, full_well_fraction: full_well_fraction, unit: unit],
        [gain_e_per_adu: gain_e_per_adu, read_noise_e: read_noise_e, t_subframe_s: t_subframe_s, full_well_e: full_well_e,
         black_adu: black_adu, dark_e_per_s: dark_e_per_s])
}
rate = fitted?.rate
variance = fitted?.variance
flags = fitted?.flags
