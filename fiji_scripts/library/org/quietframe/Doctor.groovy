package org.quietframe

import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import groovy.transform.CompileStatic
import ij.IJ
import org.quietframe.Report.Row

/** What Quietframe finds in this Fiji, one line each, with what to do where something is wrong. */
@CompileStatic
class Doctor {

    private static final String RUNTIME = 'ai/onnxruntime/OrtEnvironment.class'

    /** Show the lines; a macro finds them in getInfo("quietframe.doctor"). */
    static List<Row> show() {
        List<Row> rows = examine()
        Report.show('Quietframe Doctor', 'quietframe.doctor', rows)
        return rows
    }

    static List<Row> examine() {
        return [java(), memory(), imagej(), ours(jarsWith('org/quietframe/Command.class')),
                runtime(jarsWith(RUNTIME)), cuda(), models(Models.folder())]
    }

    private static Row java() {
        String version = System.getProperty('java.version')
        try {
            Command.requireJava(System.getProperty('java.specification.version'))
        } catch (Problem problem) {
            return new Row('Java', problem.message, false)
        }
        return new Row('Java', "${version}, ${System.getProperty('java.home')}")
    }

    private static Row memory() {
        return new Row('memory for Java', "${Runtime.runtime.maxMemory() >> 20} MB (Edit > Options > Memory & Threads), " +
            "${Runtime.runtime.availableProcessors()} cores")
    }

    private static Row imagej() {
        return new Row('ImageJ', "${IJ.fullVersion}, ${IJ.getDirectory('imagej') ?: 'folder unknown'}")
    }

    /** Our own jar: version and place; two of them hide each other. */
    static Row ours(List<String> jars) {
        return jars.size() > 1 ?
            new Row('Quietframe', "${jars.join(' and ')} are both there: keep the newer one, remove the others", false) :
            new Row('Quietframe', "${Command.version()}, ${jars.join('')}")
    }

    /** ONNX Runtime's jar; two hold the same classes, and then none works. */
    static Row runtime(List<String> jars) {
        if (jars.isEmpty()) {
            return new Row('ONNX Runtime', "its jar is not in Fiji's jars folder: run 'quietframe fiji install', or put " +
                'onnxruntime.jar there', false)
        }
        if (jars.size() > 1) {
            return new Row('ONNX Runtime', "${jars.join(' and ')} hold the same classes: keep one of them, remove the others " +
                '(or the update site that brought it)', false)
        }
        try {
            return new Row('ONNX Runtime', "${OrtEnvironment.environment.version}, ${jars.first()}")
        } catch (Throwable error) {
            // A native library that does not load ends in an Error of the virtual machine, not in an exception.
            return new Row('ONNX Runtime', "${jars.first()} cannot be started: ${OnnxSession.oneLine(error)}", false)
        }
    }

    private static Row cuda() {
        try {
            String reason = OnnxSession.whyNotCuda()
            if (!reason.isEmpty()) {
                return new Row('CUDA', "not used: ${reason}")
            }
        } catch (Throwable ignored) {
            return new Row('CUDA', 'not used: ONNX Runtime does not start')
        }
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.addCUDA(0)
            return new Row('CUDA', "works; ${CudaLibraries.describe()}")
        } catch (Exception error) {
            return new Row('CUDA', "the jar for CUDA is there, but CUDA does not start (${OnnxSession.oneLine(error)}); " +
                CudaLibraries.describe(), false)
        }
    }

    /** The folder whose models are listed: can a model be put there? */
    static Row models(File folder) {
        if (!folder.exists()) {
            File above = folder.parentFile
            boolean possible = above != null && above.canWrite()
            return new Row('models folder', "${folder} does not exist; " + (possible ? 'make it and put models there to have ' +
                'them listed' : "and ${above} is not writable for you: give models by their path, or use a Fiji in your own folder"),
                possible)
        }
        return folder.isDirectory() && folder.canWrite() ?
            new Row('models folder', "${folder}, ${Models.names().size()} models") :
            new Row('models folder', "${folder} is not a folder that you may write to: use a Fiji in your own folder", false)
    }

    /** Files that hold a class, each of which Java could take it from. */
    static List<String> jarsWith(String resource) {
        Set<String> found = new TreeSet<String>()
        for (ClassLoader loader : [Doctor.classLoader, IJ.classLoader, Thread.currentThread().contextClassLoader]) {
            if (loader != null) {
                for (URL place : Collections.list(loader.getResources(resource))) {
                    found.add(URLDecoder.decode(place.path.replaceFirst(/^(jar:)?file:/, '').replaceFirst(/!.*$/, '')
                        .replace('+', '%2B'), 'UTF-8'))
                }
            }
        }
        return found.toList()
    }
}
