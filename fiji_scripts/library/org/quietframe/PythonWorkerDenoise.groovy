package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.ImagePlus
import ij.ImageStack
import org.apposed.appose.NDArray

/** Denoise in the user's Python: the pixels go there and back through shared memory, process and model are kept for the next call. */
@CompileStatic
class PythonWorkerDenoise {

    /** What the last call took [ms]: in all, and computing in Python. */
    static double lastTotal, lastComputed

    private static PythonWorker kept

    static synchronized List<ImagePlus> outputs(ImagePlus image, String model, String provider, String tile, int threads,
                                                String python) {
        long start = System.nanoTime()
        Hyperstacks.requireGray(image)
        File file = Models.find(model)
        PythonWorker worker = workerFor(python)
        try {
            Map<String, Object> about = worker.call('prepare(task, model, provider, threads)',
                [model: file.path, provider: provider, threads: threads] as Map<String, Object>, false, null)
            IJ.log("Quietframe Denoise: ${file.name} in Python on ${about.get('provider_note')}")
            return denoised(worker, image, (List<String>) about.get('outputs'), tile)
        } catch (Problem problem) {
            if (!worker.alive) {
                closeKept()
            }
            throw problem
        } finally {
            lastTotal = (System.nanoTime() - start) / 1e6d
        }
    }

    private static List<ImagePlus> denoised(PythonWorker worker, ImagePlus image, List<String> names, String tile) {
        List<PythonWorkerImage> shared = []
        try {
            PythonWorkerImage given = PythonWorkerImage.of(image)
            shared.add(given)
            List<List<NDArray>> results = []
            names.each {
                shared.add(new PythonWorkerImage(image.width, image.height, image.getStackSize()))
                results.add(shared.last().parts)
            }
            Map<String, Object> inputs = [about: PythonWorkerImage.describe(image), parts: given.parts, results: results, tile: tile] as
                Map<String, Object>
            Map<String, Object> done = worker.call('denoise(task, about, parts, results, tile)', inputs, false,
                { String message, long at, long total -> IJ.showProgress((int) at, (int) total) } as PythonWorker.Listener)
            lastComputed = 1000d * ((Number) done.get('computed_s')).doubleValue()
            List<Map<String, String>> infos = (List<Map<String, String>>) done.get('info')
            List<ImagePlus> made = []
            for (int i = 0; i < names.size(); i++) {
                made.add(result(image, shared.get(i + 1), names.get(i), infos.get(i)))
            }
            return made
        } finally {
            shared.each { PythonWorkerImage each -> each.close() }
        }
    }

    private static ImagePlus result(ImagePlus image, PythonWorkerImage pixels, String name, Map<String, String> info) {
        ImageStack stack = new ImageStack(image.width, image.height)
        for (int i = 0; i < image.getStackSize(); i++) {
            stack.addSlice(image.getStack().getSliceLabel(i + 1), pixels.plane(i))
        }
        if (info.containsKey('quietframe.mismatch')) {
            IJ.log("Quietframe Denoise: warning: ${info.get('quietframe.mismatch')}")
        }
        int[] czt = [image.getNChannels(), image.getNSlices(), image.getNFrames()] as int[]
        return Hyperstacks.like(image, Hyperstacks.titled(image, '_' + name.toUpperCase()), stack, czt,
            info + ['quietframe.engine': 'python'])
    }

    private static PythonWorker workerFor(String python) {
        if (kept != null && kept.alive && (!python?.trim() || PythonWorkerPlace.executable(python.trim()) == kept.place.python)) {
            return kept
        }
        closeKept()
        kept = new PythonWorker(PythonWorkerPlace.find(python, ['onnxruntime']))
        return kept
    }

    /** End the process that is kept, if there is one. */
    static synchronized void closeKept() {
        kept?.close()
        kept = null
    }
}
