package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.ImageStack
import ij.plugin.Filters3D
import ij.plugin.GaussianBlur3D
import ij.plugin.filter.BackgroundSubtracter
import ij.plugin.filter.GaussianBlur
import ij.plugin.filter.RankFilters
import ij.plugin.filter.UnsharpMask
import ij.process.ByteProcessor
import ij.process.FloatProcessor
import ij.process.ImageProcessor
import ij.process.ShortProcessor

/** ImageJ's own filters under the names and options of `quietframe filter`, and what their options may be. */
@CompileStatic
class FilterMethod {

    private static final Map<String, Integer> DISCS = [
        'median': RankFilters.MEDIAN, 'mean': RankFilters.MEAN, 'minimum': RankFilters.MIN, 'maximum': RankFilters.MAX,
        'variance': RankFilters.VARIANCE, 'despeckle': RankFilters.MEDIAN, 'top-hat': RankFilters.TOP_HAT,
        'remove-outliers': RankFilters.OUTLIERS,
    ]
    private static final List<String> XYZ = ['x', 'y', 'z']

    static final Map<String, FilterMethod> ALL = [
        new FilterMethod('gaussian-blur', ['sigma']),
        new FilterMethod('median', ['radius']),
        new FilterMethod('mean', ['radius']),
        new FilterMethod('minimum', ['radius']),
        new FilterMethod('maximum', ['radius']),
        new FilterMethod('variance', ['radius']),
        new FilterMethod('top-hat', ['radius', 'light', 'dont_subtract']),
        new FilterMethod('remove-outliers', ['radius', 'threshold', 'which']),
        new FilterMethod('despeckle', []),
        new FilterMethod('unsharp-mask', ['radius', 'mask']),
        new FilterMethod('subtract-background', ['rolling', 'light', 'create', 'sliding', 'disable']),
        new FilterMethod('mean-3d', XYZ),
        new FilterMethod('median-3d', XYZ),
        new FilterMethod('gaussian-blur-3d', XYZ),
    ].collectEntries { FilterMethod method -> [(method.name): method] }

    final String name
    /** Its options, in the order of a macro line. */
    final List<String> options

    private FilterMethod(String name, List<String> options) {
        this.name = name
        this.options = options
    }

    /** The method of this name; underscores count as hyphens. */
    static FilterMethod named(String given) {
        FilterMethod found = ALL.get(given.trim().replace('_', '-'))
        if (found == null) {
            throw Problem.unknown('method', given.trim(), ALL.keySet())
        }
        return found
    }

    /** Whether it takes volumes (z, y, x); else planes. */
    boolean isVolumes() { name.endsWith('-3d') }

    /** The options that this method has, out of all that were given, within its limits. */
    Map<String, Object> settings(Map<String, Object> given) {
        Map<String, Object> own = [:]
        for (String option : options) {
            Object value = given.get(option)
            if (value instanceof Number) {
                double number = ((Number) value).doubleValue()
                if (option == 'radius' && number == -1.0d) {
                    number = name == 'unsharp-mask' ? 1.0d : 2.0d // what `quietframe filter` takes
                }
                double[] limits = limits(option, given)
                if (!(number >= limits[0] && number <= limits[1])) {
                    throw new Problem("option ${option} of ${name} must be ${brief(limits[0])} to " +
                        "${brief(limits[1])}; got ${brief(number)}")
                }
                own.put(option, number)
            } else if (option == 'which' && value != 'bright' && value != 'dark') {
                throw Problem.unknown('which', value, ['bright', 'dark'])
            } else {
                own.put(option, value)
            }
        }
        return own
    }

    private double[] limits(String option, Map<String, Object> given) {
        switch (option) {
            case 'sigma': return [0, 1e5d] as double[]
            case 'mask': return [0, 0.99d] as double[]
            case 'threshold': return [0, 1e30d] as double[]
            case 'rolling': return [0.001d, given.get('sliding') ? 1e9d : 2000d] as double[]
            case 'radius':
                double least = name == 'unsharp-mask' ? 0 : 0.5d
                return [least, name in ['median', 'remove-outliers'] ? 100 : name == 'unsharp-mask' ? 1e5d : 1000] as double[]
            default: return [0, name == 'gaussian-blur-3d' ? 1e5d : 100] as double[]
        }
    }

    /** The settings as words of a macro. */
    static String words(Map<String, Object> settings) {
        return settings.collect { String key, Object value ->
            "${key}=${value instanceof Double ? brief((Double) value) : value}"
        }.join(' ')
    }

    /** The shortest text of a number: 2, not 2.0. */
    static String brief(double value) {
        return value == Math.rint(value) && Math.abs(value) < 1e9d ? String.valueOf((long) value) : String.valueOf(value)
    }

    /** Filter a plane in place; settings as `settings` gives them. */
    void plane(ImageProcessor given, Map<String, Object> settings) {
        ImageProcessor pixels = plain(given)
        if (name == 'gaussian-blur') {
            new GaussianBlur().blurGaussian(pixels, number(settings, 'sigma'))
        } else if (name == 'unsharp-mask') {
            FloatProcessor values = pixels.toFloat(0, null)
            values.snapshot()
            new UnsharpMask().sharpenFloat(values, number(settings, 'radius'), (float) number(settings, 'mask'))
            pixels.setPixels(0, values)
        } else if (name == 'subtract-background') {
            new BackgroundSubtracter().rollingBallBackground(pixels, number(settings, 'rolling'), flag(settings, 'create'),
                flag(settings, 'light'), flag(settings, 'sliding'), !flag(settings, 'disable'), true)
        } else {
            double radius = name == 'despeckle' ? 1.0d : number(settings, 'radius')
            int which = settings.get('which') == 'dark' ? RankFilters.DARK_OUTLIERS : RankFilters.BRIGHT_OUTLIERS
            double threshold = settings.containsKey('threshold') ? number(settings, 'threshold') : 0.0d
            new RankFilters().rank(pixels, radius, DISCS.get(name), which, (float) threshold, flag(settings, 'light'),
                flag(settings, 'dont_subtract'))
        }
    }

    /** The filtered planes of one volume; the planes given may be changed. */
    ImageStack volume(ImageStack planes, Map<String, Object> settings) {
        double x = number(settings, 'x'), y = number(settings, 'y'), z = number(settings, 'z')
        if (name == 'gaussian-blur-3d') {
            GaussianBlur3D.blur(new ImagePlus('', planes), x, y, z)
            return planes
        }
        int kind = name == 'mean-3d' ? Filters3D.MEAN : Filters3D.MEDIAN
        return Filters3D.filter(planes, kind, (float) x, (float) y, (float) z)
    }

    /** The same pixels without a LUT: ImageJ takes an inverted one for a bright background. */
    static ImageProcessor plain(ImageProcessor given) {
        int width = given.width, height = given.height
        if (given instanceof ByteProcessor) {
            return new ByteProcessor(width, height, (byte[]) given.pixels)
        }
        if (given instanceof ShortProcessor) {
            return new ShortProcessor(width, height, (short[]) given.pixels, null)
        }
        return new FloatProcessor(width, height, (float[]) given.pixels)
    }

    private static double number(Map<String, Object> settings, String name) {
        return ((Number) settings.get(name)).doubleValue()
    }

    private static boolean flag(Map<String, Object> settings, String name) {
        return settings.get(name) == true
    }
}
