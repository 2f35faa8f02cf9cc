package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.ImagePlus
import ij.WindowManager

import java.awt.GraphicsEnvironment
import java.nio.file.Files

/** Trains a model in the user's Python on images that are open here, and puts its package where Denoise lists it. */
@CompileStatic
class Train {

    private static final int PREVIEW_S = 5

    static final List<String> METHODS = ['n2v', 'n2v2', 'n2n', 'care']

    /** Options of the training run and the values of the header, which leave it to the method. */
    static final Map<String, Object> USUAL = [
        steps: 0, minutes: 0.0d, batch_size: 0, patch_px: 64, filters: 32, depth: 2, seed: 42, difference: 0, device: 'auto',
    ] as Map<String, Object>

    /** Train and give the path of the package in the models folder (or in the run folder, where that cannot be written). */
    static String train(ImagePlus image, String method, String target, Map<String, Object> options, String out, String python) {
        Hyperstacks.requireGray(image)
        if (!(method in METHODS)) {
            throw Problem.unknown('method', method, METHODS)
        }
        ImagePlus second = targetOf(image, method, target, (int) options.get('difference'))
        Map<String, Object> about = describe(image, (int) options.get('difference'))
        checkNumbers(options)
        File run = runFolder(image, method, out)
        PythonWorkerPlace place
        try {
            place = PythonWorkerPlace.find(python, ['torch', 'onnx'])
            return trained(image, second, about, [method: method, options: given(options), preview_s: GraphicsEnvironment.headless ? 0 : PREVIEW_S] as Map<String, Object>, run, place)
        } catch (NoClassDefFoundError error) {
            throw noAppose(error)
        }
    }

    static Problem noAppose(NoClassDefFoundError error) {
        if (error.message?.contains('apposed') || error.message?.contains('jna') || error.message?.contains('groovy/json')) {
            return new Problem("Appose, which starts Python, is not in this Fiji (${error.message}): run 'quietframe fiji install', " +
                'or update Fiji (Help > Update...)')
        }
        throw error
    }

    private static String trained(ImagePlus image, ImagePlus second, Map<String, Object> about, Map<String, Object> request,
                                  File run, PythonWorkerPlace place) {
        IJ.log("Quietframe Train: ${request.get('method')} on '${image.title}' (${about.get('axes')} ${about.get('shape')}) " +
            "with ${place.python}, quietframe ${place.versions.get('quietframe')}; Esc stops and keeps the best model")
        List<PythonWorkerImage> shared = []
        PythonWorker worker = null
        try {
            List<List<Object>> images = []
            for (ImagePlus each : [image, second]) {
                if (each != null) {
                    shared.add(PythonWorkerImage.of(each))
                    images.add([each.is(image) ? about : PythonWorkerImage.describe(each), shared.last().parts] as List<Object>)
                }
            }
            worker = new PythonWorker(place)
            Map<String, Object> inputs = [images: images, out: run.path, request: request] as Map<String, Object>
            Map<String, Object> done = worker.call('train(task, images, out, request)', inputs, true,
                new TrainProgress(image.title))
            ((List<Object>) done.get('summary')).each { Object line -> IJ.log("Quietframe Train: ${line}") }
            return published(new File(done.get('model').toString()), run.name)
        } finally {
            worker?.close()
            shared.each { PythonWorkerImage each -> each.close() }
        }
    }

    /** Copy a package into the models folder under a new name; where that is not possible, it stays where it is. */
    private static String published(File model, String name) {
        File folder = Models.folder(), copy = model
        try {
            Files.createDirectories(folder.toPath())
            copy = free(folder, name, '.zip')
            Files.copy(model.toPath(), copy.toPath())
        } catch (IOException error) {
            copy = model
            IJ.log("Quietframe Train: the package could not be copied to ${folder} (${error.message}); it is not in Denoise's list")
        }
        System.setProperty('quietframe.trained', copy.path)
        IJ.log("Quietframe Train: model=[${copy.path}], run folder ${model.parent}")
        IJ.showStatus("Quietframe: trained ${copy.name}")
        return copy.path
    }

    /** The folder of the run: the one given, else a new one in the models folder, which Denoise does not list. */
    private static File runFolder(ImagePlus image, String method, String out) {
        if (out?.trim()) {
            return new File(out.trim()).absoluteFile
        }
        File folder = new File(Models.folder(), 'runs')
        try {
            Files.createDirectories(folder.toPath())
        } catch (IOException ignored) {
            throw new Problem("the run folder cannot be made in ${folder}; give a folder that you may write to: out=[folder]")
        }
        String stem = image.title.replaceFirst(/(?i)\.tiff?$/, '').replaceAll(/[^\w.+-]+/, '_') ?: 'image'
        return free(folder, "${stem}_${method}", '').absoluteFile
    }

    private static File free(File folder, String name, String suffix) {
        File place = new File(folder, name + suffix)
        for (int number = 2; place.exists(); number++) {
            place = new File(folder, "${name}_${number}${suffix}")
        }
        return place
    }

    /** The open image that is the target: care needs one (or an exposure), n2n may have one, the others have none. */
    private static ImagePlus targetOf(ImagePlus image, String method, String title, int difference) {
        if (!title?.trim()) {
            if (method == 'care' && difference == 0) {
                throw new Problem('care learns from a target: open the clean picture of the same scene and give its title, ' +
                    'target=[title]; or give an exposure with difference=K')
            }
            if (method == 'n2n' && difference == 0 && image.getStackSize() == 1) {
                throw new Problem("n2n learns from two noisy pictures of one scene; '${image.title}' is one plane: give a stack of " +
                    'repeats, the other picture as target=[title], or an exposure with difference=K')
            }
            return null
        }
        if (!(method in ['care', 'n2n'])) {
            throw new Problem("${method} learns from noisy pictures alone; leave target out, or take care or n2n")
        }
        if (difference > 0) {
            throw new Problem('difference=K takes input and target out of one exposure; leave target out')
        }
        ImagePlus found = WindowManager.getImage(title.trim())
        if (found == null) {
            throw new Problem("target=[${title}]: no image with this title is open")
        }
        Hyperstacks.requireGray(found)
        if (found.width != image.width || found.height != image.height || found.getStackSize() != image.getStackSize()) {
            throw new Problem("'${found.title}' (${found.width} x ${found.height}, ${found.getStackSize()} planes) does not fit " +
                "'${image.title}' (${image.width} x ${image.height}, ${image.getStackSize()} planes): each plane needs its target")
        }
        return found
    }

    /** What Python is told of the image; of an exposure, that its planes are sub-frames, whatever axis they lie on. */
    private static Map<String, Object> describe(ImagePlus image, int difference) {
        Map<String, Object> about = PythonWorkerImage.describe(image)
        String axes = about.get('axes').toString()
        if (difference == 0 || axes == 'TYX') {
            return about
        }
        if (axes.length() != 3) {
            throw new Problem("'${image.title}' has axes ${axes}; difference=K needs one exposure: a stack whose only axis beside " +
                'Y and X is its sub-frames')
        }
        IJ.log("Quietframe Train: the ${axes == 'ZYX' ? 'slices (z)' : 'channels'} of '${image.title}' are taken as sub-frames")
        about.put('axes', 'TYX')
        Map<String, Object> sizes = new LinkedHashMap<String, Object>((Map<String, Object>) about.get('pixel_size_um'))
        sizes.remove('Z')
        about.put('pixel_size_um', sizes)
        return about
    }

    private static void checkNumbers(Map<String, Object> options) {
        ['steps', 'batch_size', 'difference', 'seed'].each { String name ->
            if ((int) options.get(name) < 0) {
                throw new Problem("${name}=${options.get(name)}: give 0 or more")
            }
        }
        if ((double) options.get('minutes') < 0) {
            throw new Problem("minutes=${options.get('minutes')}: give 0 (no limit) or more")
        }
        if (options.get('steps') && options.get('minutes')) {
            throw new Problem('steps says how long, and so does minutes; give one of them')
        }
    }

    /** The options that are not at their usual values, so that the method's own stay. */
    private static Map<String, Object> given(Map<String, Object> options) {
        return options.findAll { String name, Object value -> value != USUAL.get(name) }
    }
}
