// Filter every plane, or every volume, into a new image: ImageJ's own filters under the names of `quietframe filter`.
#@ ImagePlus (label="Image") image
#@ String (label="Method", description="Methods ending in 3d take z-stacks, never time", choices={"gaussian-blur", "median", "mean", "minimum", "maximum", "variance", "top-hat", "remove-outliers", "despeckle", "unsharp-mask", "subtract-background", "mean-3d", "median-3d", "gaussian-blur-3d"}, value="gaussian-blur", persist=false) method
#@ Double (label="Sigma [px]", description="gaussian-blur: standard deviation of the Gaussian", value=2, min=0, max=100000, persist=false) sigma
#@ Double (label="Radius [px], -1 = usual", description="Discs (median, mean, minimum, maximum, variance, top-hat, remove-outliers): usually 2; unsharp-mask: sigma of what is subtracted, usually 1", value=-1, min=-1, max=100000, persist=false) radius
#@ Double (label="Mask weight", description="unsharp-mask: weight of the blurred copy", value=0.6, min=0, max=0.99, persist=false) mask
#@ Double (label="Threshold", description="remove-outliers: how far from the median a pixel may be [unit of the image]", value=50, min=0, persist=false) threshold
#@ String (label="Which outliers", choices={"bright", "dark"}, value="bright", persist=false) which
#@ Double (label="Rolling ball radius [px]", description="subtract-background: larger than the largest object", value=50, min=0.001, persist=false) rolling
#@ Boolean (label="Light background", description="top-hat, subtract-background", value=false, persist=false) light
#@ Boolean (label="Top hat: the background itself", value=false, persist=false) dont_subtract
#@ Boolean (label="Create background", description="subtract-background: the background instead of what it leaves", value=false, persist=false) create
#@ Boolean (label="Sliding paraboloid", description="subtract-background: instead of a ball", value=false, persist=false) sliding
#@ Boolean (label="Disable smoothing", description="subtract-background: before the background is searched", value=false, persist=false) disable
#@ Double (label="X [px]", description="mean-3d and median-3d: radius along rows; gaussian-blur-3d: sigma. radius_x is understood, too; y and z alike", value=2, min=0, max=100000, persist=false) x
#@ Double (label="Y [px]", description="The same along columns", value=2, min=0, max=100000, persist=false) y
#@ Double (label="Z [planes]", description="The same across slices", value=2, min=0, max=100000, persist=false) z
#@ String (label="Pixel type", description="same: as the image, rounded as ImageJ does; float32: converted before", choices={"same", "float32"}, value="same", persist=false) dtype
#@output ImagePlus result

import org.quietframe.Command
import org.quietframe.Filters

result = Command.run('Quietframe Filter') {
    Filters.apply(image, method, dtype,
        [sigma: sigma, radius: radius, mask: mask, threshold: threshold, which: which, rolling: rolling, light: light,
         dont_subtract: dont_subtract, create: create, sliding: sliding, disable: disable, x: x, y: y, z: z])
}
