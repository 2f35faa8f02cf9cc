// Train a model on the open image, in the Python that has quietframe; its package then stands in the list of Quietframe Denoise.
#@ ImagePlus (label="Image") image
#@ String (label="Method", description="n2v, n2v2: one noisy picture; n2n: repeats, or two noisy pictures; care: a target; n2n and care also learn from an exposure", choices={"n2v", "n2v2", "n2n", "care"}, value="n2v", persist=false) method
#@ String (label="Target", description="Title of the open image that care or n2n learn to give; empty = none", value="", persist=false) target
#@ Integer (label="Difference [sub-frames], 0 = no exposure", description="The image is an exposure: learn from differences of so many sub-frames", value=0, min=0, persist=false) difference
#@ Integer (label="Steps, 0 = the method's own", value=0, min=0, persist=false) steps
#@ Double (label="Minutes, 0 = by steps", description="Time for the training instead of a number of steps", value=0, min=0, persist=false) minutes
#@ Integer (label="Patch [px]", description="Height and width of a patch, a multiple of 2^depth", value=64, min=16, persist=false) patch_px
#@ Integer (label="Batch, 0 = the method's own", description="Patches per step", value=0, min=0, persist=false) batch_size
#@ Integer (label="Filters of the first level", value=32, min=1, persist=false) filters
#@ Integer (label="Depth [levels]", value=2, min=1, max=6, persist=false) depth
#@ Integer (label="Seed", value=42, min=0, persist=false) seed
#@ String (label="Device", choices={"auto", "cpu", "cuda"}, value="auto", persist=false) device
#@ String (label="Run folder", description="New folder for history, losses and checkpoint; empty = in the folder runs beside the models", value="", persist=false) out
#@ String (label="Python", description="Python that has quietframe, or the folder of its environment; empty = the one used last, else the one on PATH", value="", persist=false) python
#@output String model

import org.quietframe.Command
import org.quietframe.Train

model = Command.run('Quietframe Train') {
    Train.train(image, method, target,
        [steps: steps, minutes: minutes, batch_size: batch_size, patch_px: patch_px, filters: filters, depth: depth, seed: seed,
         difference: difference, device: device], out, python)
}
