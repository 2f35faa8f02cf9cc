// Denoise every plane, or every volume, with a model that Quietframe trained and exported.
#@ ImagePlus (label="Image") image
#@ String (label="Model", description="Name of a model in Fiji's models folder, or path of a package (.zip) or .onnx file; empty = choose in a list", value="", persist=false) model
#@ String (label="Provider", description="auto takes CUDA where it works, else the CPU, and says why; cuda fails where it does not work", choices={"auto", "cpu", "cuda"}, value="auto", persist=false) provider
#@ String (label="Tile [px]", description="auto, 0 = the whole plane at once, or the largest side of a tile", value="auto", persist=false) tile
#@ Integer (label="CPU threads, 0 = all", description="How many cores ONNX Runtime may use", value=0, min=0, max=1024, persist=false) threads
#@ String (label="Engine", description="java: in this Fiji; python: in the Python that has quietframe, with its own ONNX Runtime and CUDA", choices={"java", "python"}, value="java", persist=false) engine
#@ String (label="Python", description="For engine python: Python that has quietframe, or the folder of its environment; empty = the one used last, else the one on PATH", value="", persist=false) python
#@output ImagePlus second
#@output ImagePlus result

import org.quietframe.Command
import org.quietframe.DenoiseEngine

outputs = Command.run('Quietframe Denoise') {
    DenoiseEngine.outputs(engine, image, model, provider, tile, threads, python)
}
result = outputs?.get(0)
second = outputs?.getAt(1) // e.g. the uncertainty; shown first, so that the result is the active image
