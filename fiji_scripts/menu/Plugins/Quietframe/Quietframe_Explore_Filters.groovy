// Try filters and models on the current plane or selection, with live preview, judge them without truth, apply the one picked.
#@ ImagePlus (label="Image") image
#@ String (label="Methods", description="auto (those that lower noise, and the models in Fiji's folder), or names of filters and models with commas between", value="auto", persist=false) methods
#@ String (label="Second half or repeat (title)", description="An open image of the same scene with independent noise, to judge by; empty = judge by hidden pixels", value="", persist=false) repeat
#@ Integer (label="Noise is correlated over [px]", description="Neighbourhood that is hidden with a judged pixel", value=0, min=0, max=16, persist=false) correlated
#@ Boolean (label="Tune", description="Search the settings of smoothing filters, too", value=false, persist=false) tune
#@ String (label="Pick", description="In a macro: none, best (smallest error), or the method to apply to all of the image", value="none", persist=false) pick
#@ Double (label="Sigma [px]", value=2, min=0, max=100000, persist=false) sigma
#@ Double (label="Radius [px], -1 = usual", value=-1, min=-1, max=100000, persist=false) radius
#@ Double (label="Mask weight", value=0.6, min=0, max=0.99, persist=false) mask
#@ Double (label="Threshold", value=50, min=0, persist=false) threshold
#@ String (label="Which outliers", choices={"bright", "dark"}, value="bright", persist=false) which
#@ Double (label="Rolling ball radius [px]", value=50, min=0.001, persist=false) rolling
#@ Boolean (label="Light background", value=false, persist=false) light
#@ Boolean (label="Top hat: the background itself", value=false, persist=false) dont_subtract
#@ Boolean (label="Create background", value=false, persist=false) create
#@ Boolean (label="Sliding paraboloid", value=false, persist=false) sliding
#@ Boolean (label="Disable smoothing", value=false, persist=false) disable
#@ Double (label="X [px]", value=2, min=0, max=100000, persist=false) x
#@ Double (label="Y [px]", value=2, min=0, max=100000, persist=false) y
#@ Double (label="Z [planes]", value=2, min=0, max=100000, persist=false) z
#@ String (label="Provider of models", choices={"auto", "cpu", "cuda"}, value="auto", persist=false) provider
#@ Integer (label="CPU threads of models, 0 = all", value=0, min=0, max=1024, persist=false) threads
#@output ImagePlus panel
#@output ImagePlus result
#@output String picked

import org.quietframe.Command
import org.quietframe.Explorer

found = Command.run('Quietframe Explore Filters') {
    Explorer.explore(image, [methods: methods, repeat: repeat, correlated: correlated, tune: tune, pick: pick, sigma: sigma,
        radius: radius, mask: mask, threshold: threshold, which: which, rolling: rolling, light: light,
        dont_subtract: dont_subtract, create: create, sliding: sliding, disable: disable, x: x, y: y, z: z,
        provider: provider, threads: threads])
}
panel = found?.panel
result = found?.result
picked = found?.picked
