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

    private static final long KEPT_BYTES = 1L << 28

    private static PythonWorker kept
    /** The model that the process has loaded, and what it said of it. */
    private static String loaded
    private static Map<String, Object> about
    /** Shared memory of the last call, taken again for the next picture of its size: new memory costs more than copying. */
    private static final List<PythonWorkerImage> SHARED = []

    static synchronized List<ImagePlus> outputs(ImagePlus image, String model, String provider, String tile, int threads,
                                                String python) {
        long start = System.nanoTime()
        Hyperstacks.requireGray(image)
        File file = Models.find(model)
        PythonWorker worker = workerFor(python)
        try {
            Map<String, Object> request = [model: file.path, provider: provider, threads: threads] as Map<String, Object>
            String wanted = "${request} ${ModelFile.stamp(file)}"
            if (wanted != loaded) {
                loaded = null
                about = worker.call('prepare(task, model, provider, threads)', request, false, null)
                loaded = wanted
            }
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
        try {
            if (SHARED.size() != names.size() + 1 || !SHARED.every { PythonWorkerImage each -> each.fits(image) }) {
                forget()
                (names.size() + 1).times { SHARED.add(new PythonWorkerImage(image.width, image.height, image.getStackSize())) }
            }
            SHARED.first().put(image)
            List<List<NDArray>> results = SHARED.tail().collect { PythonWorkerImage each -> each.parts }
            Map<String, Object> inputs = [about: PythonWorkerImage.describe(image), parts: SHARED.first().parts, results: results,
                                          tile: tile] as Map<String, Object>
            Map<String, Object> done = worker.call('denoise(task, about, parts, results, tile)', inputs, false,
                { String message, long at, long total, Map info -> IJ.showProgress((int) at, (int) total) } as PythonWorker.Listener)
            lastComputed = 1000d * ((Number) done.get('computed_s')).doubleValue()
            List<Map<String, String>> infos = (List<Map<String, String>>) done.get('info')
            List<ImagePlus> made = []
            for (int i = 0; i < names.size(); i++) {
                made.add(result(image, SHARED.get(i + 1), names.get(i), infos.get(i)))
            }
            return made
        } finally {
            if (SHARED.isEmpty() || SHARED.size() * SHARED.first().bytes > KEPT_BYTES) {
                forget()
            }
        }
    }

    private static void forget() {
        SHARED.each { PythonWorkerImage each -> each.close() }
        SHARED.clear()
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
        loaded = null
        forget() // its name may have gone with the process
    }
}
