package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus

/** Where a network runs: in this Java machine, or in the user's Python, whose CUDA may be easier to have. */
@CompileStatic
class DenoiseEngine {

    /** As `OnnxDenoiser.outputs`; `python` as `PythonWorkerPlace.find`, for engine python. */
    static List<ImagePlus> outputs(String engine, ImagePlus image, String model, String provider, String tile, int threads,
                                   String python) {
        if (engine == 'java') {
            return OnnxDenoiser.outputs(image, model, provider, tile, threads)
        }
        if (engine != 'python') {
            throw Problem.unknown('engine', engine, ['java', 'python'])
        }
        try {
            return PythonWorkerDenoise.outputs(image, model, provider, tile, threads, python)
        } catch (NoClassDefFoundError error) {
            throw Train.noAppose(error)
        }
    }
}
