// Compare an image with its result: difference, z-map against a repeat, line profiles of both, all as images.
#@ ImagePlus (label="Original") image
#@ String (label="Result (title)", description="An open image of the same dimensions", value="", persist=false) result
#@ String (label="Repeat or second half (title), empty = none", description="The same scene with independent noise; where it contradicts the result, something was invented or smoothed away", value="", persist=false) repeat
#@ String (label="Line", description="auto (the selection where it is a line, else the middle row), none, selection, or x1,y1,x2,y2", value="auto", persist=false) line
#@ Boolean (label="Synchronize windows", description="On a display: tile the windows and open ImageJ's Sync Windows", value=true, persist=false) synchronize
#@output ImagePlus profile
#@output ImagePlus z_map
#@output ImagePlus difference
#@output ImagePlus comparison
#@output Double flagged

import org.quietframe.Command
import org.quietframe.Compare

found = Command.run('Quietframe Compare') {
    Compare.compare(image, result, repeat, line, synchronize)
}
profile = found?.profile
z_map = found?.z_map
difference = found?.difference
comparison = found?.comparison
flagged = found?.flagged
