// Difference images out of one exposure: read[i + difference] - read[i], signed, float32.
#@ ImagePlus (label="Exposure (stack of sub-frames)") image
#@ Integer (label="Difference [sub-frames]", description="Sub-frames between the two reads of one image", value=20, min=1, persist=false) difference
#@ Integer (label="First read", description="Counted from 1", value=1, min=1, persist=false) first
#@ String (label="Spacing", description="Where the next image starts: after a guard read, at the last read, one read later, or only one image", choices={"guarded", "abutting", "rolling", "single"}, value="guarded", persist=false) spacing
#@ String (label="Unit", description="rate is e-/px/s", choices={"adu", "electrons", "rate"}, value="adu", persist=false) unit
#@ Double (label="Gain [e-/ADU], 0 = from the image", value=0, min=0, persist=false) gain_e_per_adu
#@ Double (label="Time per sub-frame [s], 0 = from the image", value=0, min=0, persist=false) t_subframe_s
#@output ImagePlus result

import org.quietframe.Command
import org.quietframe.NdrRamps

result = Command.run('Quietframe NDR Subtract') {
    NdrRamps.subtract(image, difference, first, spacing, unit, gain_e_per_adu, t_subframe_s)
}
