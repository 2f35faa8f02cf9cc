// Say what a model is: method, unit, axes, sizes, outputs, training data, and whether it runs here.
#@ String (label="Model", description="Name of a model in Fiji's models folder, or path of a package (.zip) or .onnx file; empty = choose in a list", value="", persist=false) model
#@output String report

import org.quietframe.Command
import org.quietframe.ModelInfo

report = Command.run('Quietframe Model Info') {
    ModelInfo.show(model)
}
