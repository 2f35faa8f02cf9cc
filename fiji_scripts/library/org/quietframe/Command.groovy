package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.Macro

import java.util.concurrent.Callable

/** What every menu script goes through: one line for the user's errors, Esc, progress. */
@CompileStatic
class Command {

    static final int OLDEST_JAVA = 11

    /** What the last command told the user that it cannot do; null when it did. Read by whoever runs commands. */
    static volatile String lastProblem
    /** Whether the caller reads `lastProblem` itself and nothing needs to be shown. */
    static volatile boolean quiet

    /** Do the work of a menu command; null when it could not, after saying why in one line and aborting the macro. */
    static <T> T run(String command, Callable<T> work) {
        lastProblem = null
        try {
            requireJava(System.getProperty('java.specification.version'))
            return work.call()
        } catch (OutOfMemoryError ignored) {
            report(command, 'Java has too little memory for this: raise it (Edit > Options > Memory & Threads), ' +
                'or give a smaller tile')
        } catch (Throwable error) {
            Problem problem = problemIn(error) // Jython wraps what it did not raise itself
            if (problem != null) {
                report(command, problem.message)
            } else if (error instanceof NoClassDefFoundError && error.message?.contains('onnxruntime')) {
                report(command, "ONNX Runtime is not in this ImageJ's jars folder: run 'quietframe fiji install', or put " +
                    'onnxruntime.jar there')
            } else {
                // A macro must not go on without the result, so a bug stops it like a wrong option does.
                error.printStackTrace()
                report(command, "internal error, ${error}")
            }
        } finally {
            IJ.showProgress(1.0d)
        }
        return null
    }

    /** Say in one line what a command could not do, and stop the macro that called it. */
    static void report(String command, String message) {
        lastProblem = message
        if (quiet) {
            return
        }
        try {
            IJ.error(command, "${command}: ${message}") // a dialog, or a line without a display; ends a running macro
            Macro.abort()
        } catch (RuntimeException canceled) {
            // The macro ends when this command returns; thrown on, it would only print its stack here.
            if (canceled.message != Macro.MACRO_CANCELED) {
                throw canceled
            }
        }
    }

    /** Refuse a Java that is too old; the library itself is compiled for Java 8, so that it can say so. */
    static void requireJava(String version) {
        int major = version.startsWith('1.') ? version.substring(2).toInteger() : version.takeWhile { it ==~ /\d/ }.toInteger()
        if (major < OLDEST_JAVA) {
            throw new Problem("this ImageJ runs on Java ${major}; Quietframe needs Java ${OLDEST_JAVA} or newer: download Fiji " +
                'again (it brings its own Java), or start this one with a newer Java')
        }
    }

    private static Problem problemIn(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.cause) {
            if (cause instanceof Problem) {
                return (Problem) cause
            }
        }
        return null
    }

    /** Show progress and stop here when the user pressed Esc. */
    static void progress(int done, int total) {
        IJ.showProgress(done, total)
        if (IJ.escapePressed()) {
            IJ.resetEscape()
            throw new Problem('stopped by Esc; there is no result')
        }
    }

    /** Quietframe's version, out of the jar's own manifest. */
    static String version() {
        String version = Command.package?.implementationVersion
        return version == null ? 'source' : version
    }
}
