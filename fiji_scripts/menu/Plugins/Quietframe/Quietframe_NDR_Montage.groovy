// The sliced picture: strips from differences of several lengths, noisy above restored; gray 0 to 1.
#@ ImagePlus (label="Exposure, or stack with one frame per difference") image
#@ String (label="Restored stack (title), empty = none", value="", required=false, persist=false) restored
#@ String (label="Differences [sub-frames], in the order of the slices", value="40,35,30,25,20,15,10,5,1", persist=false) differences
#@ String (label="Contrast", description="common: one light has one gray everywhere; each: every slice spans its own range", choices={"common", "each"}, value="common", persist=false) contrast
#@output ImagePlus result

import org.quietframe.Command
import org.quietframe.NdrMontage

result = Command.run('Quietframe NDR Montage') {
    NdrMontage.draw(image, restored ?: '', differences, contrast)
}
