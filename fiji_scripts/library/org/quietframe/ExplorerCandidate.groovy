package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.ImageStack

/** One method with its settings, or one model: run on a region, on all of an image, and as the macro line of that. */
@CompileStatic
class ExplorerCandidate {

    /** Values that are tried where settings are to be found, as the grids of `quietframe filter`. */
    private static final Map<String, List<Double>> GRID = [
        'sigma': [0.5d, 0.7d, 1.0d, 1.4d, 2.0d, 2.8d, 4.0d], 'radius': [0.5d, 1.0d, 1.5d, 2.0d, 3.0d, 4.0d],
    ]
    /** Methods that lower noise and keep the picture; the others make something else of it. */
    static final List<String> DENOISERS = ['gaussian-blur', 'median', 'mean', 'despeckle', 'gaussian-blur-3d', 'median-3d', 'mean-3d']

    /** The filter; null for a model. */
    final FilterMethod method
    /** The model's file; null for a filter. */
    final File model
    final Map<String, Object> settings
    /** What came of it, after `measure`: pixels, noise left, error up to a constant, seconds, or why it cannot be. */
    float[] result
    double noise, score, seconds
    String problem

    private ExplorerCandidate(FilterMethod method, File model, Map<String, Object> settings) {
        this.method = method
        this.model = model
        this.settings = settings
    }

    /** A filter by its name, or a model by its name or path. */
    static ExplorerCandidate of(String name, Map<String, Object> given) {
        String hyphens = name.trim().replace('_', '-')
        if (FilterMethod.ALL.containsKey(hyphens)) {
            FilterMethod method = FilterMethod.named(hyphens)
            return new ExplorerCandidate(method, null, method.settings(given))
        }
        if (!(Models.names().any { String file -> file == name.trim() || file.take(file.lastIndexOf('.')) == name.trim() }) &&
            !new File(name.trim()).exists()) {
            throw Problem.unknown('method', name.trim(), FilterMethod.ALL.keySet() + Models.names())
        }
        return new ExplorerCandidate(null, Models.find(name), ['provider': given.get('provider'), 'threads': given.get('threads')])
    }

    /** The filters that lower noise in such an image, and the models in Fiji's folder. */
    static List<String> usual(ImagePlus image) {
        return DENOISERS.findAll { String name -> image.getNSlices() > 1 || !name.endsWith('-3d') } + Models.names()
    }

    /** The same method with each of the settings to try; itself when there is nothing to set. */
    List<ExplorerCandidate> tries() {
        if (method == null || !(method.name in DENOISERS) || settings.isEmpty()) {
            return [this]
        }
        if (method.volumes) {
            List<ExplorerCandidate> all = []
            for (double xy : [0.5d, 1.0d, 2.0d]) {
                for (double z : [0.0d, 0.5d, 1.0d]) {
                    all.add(new ExplorerCandidate(method, null, ['x': xy, 'y': xy, 'z': z] as Map<String, Object>))
                }
            }
            return all
        }
        String option = method.options.first()
        return GRID.get(option).collect { Double value ->
            new ExplorerCandidate(method, null, [(option): value] as Map<String, Object>)
        }
    }

    String getName() { method == null ? model.name : method.name }

    String label() { "${name} ${method == null ? '' : FilterMethod.words(settings)}".trim() }

    /** The one line that does this to an image. */
    String line() {
        if (method != null) {
            return "run(\"Quietframe Filter\", \"method=${method.name} ${FilterMethod.words(settings)}".trim() + '");'
        }
        String file = model.parentFile == Models.folder().absoluteFile ? model.name : model.path.replace('\\', '/')
        return "run(\"Quietframe Denoise\", \"model=[${file}] provider=${settings.get('provider')} threads=${settings.get('threads')}\");"
    }

    /** Run on planes of the region's size, each in place of the region's plane. */
    List<float[]> run(ExplorerRegion region, List<float[]> planes) {
        if (method != null) {
            List<float[]> results = []
            for (float[] plane : planes) {
                if (Thread.currentThread().interrupted) {
                    throw new Problem('stopped by Esc; there is no result')
                }
                results.add(region.filtered(plane, method, settings))
            }
            return results
        }
        ImageStack stack = new ImageStack(region.width, region.height)
        planes.each { float[] plane -> stack.addSlice(null, plane) }
        ImagePlus image = new ImagePlus(region.image.title, stack)
        image.setDimensions(1, 1, planes.size())
        ImagePlus denoised = apply(image)
        return (1..planes.size()).collect { int i -> (float[]) denoised.getStack().getPixels(i) }
    }

    /** Run on a region, and judge the result; a method that cannot be run there says why instead. */
    ExplorerCandidate measure(ExplorerRegion region, ExplorerScore judge) {
        try {
            if (method != null && method.volumes) {
                Filters.requireVolumes(region.image, method)
            }
            if (method == null) {
                run(region, [region.plane]) // loads and prepares the network, which is not the time of the next planes
            }
            long start = System.nanoTime()
            result = run(region, [region.plane]).first()
            seconds = (System.nanoTime() - start) / 1e9d
            noise = ExplorerScore.noise(result, region.width)
            score = judge.error(run(region, judge.inputs))
        } catch (Problem error) {
            if (error.message.startsWith('stopped by Esc')) {
                throw error
            }
            problem = error.message
            score = Double.NaN
        }
        return this
    }

    /** Filter or denoise all of an image. */
    ImagePlus apply(ImagePlus image) {
        if (method != null) {
            return Filters.apply(image, method.name, 'same', settings)
        }
        return OnnxDenoiser.denoise(image, model.path, (String) settings.get('provider'), 'auto', (int) settings.get('threads'))
    }
}
