package org.quietframe

import groovy.transform.CompileStatic

/** What the user can mend, in one sentence: what was given, what is allowed, what to do. */
@CompileStatic
class Problem extends RuntimeException {

    Problem(String message) {
        super(message)
    }

    Problem(String message, Throwable cause) {
        super(message, cause)
    }

    /** Throw one; for Jython, whose own `raise` would hide it from Java. */
    static void stop(String message) {
        throw new Problem(message)
    }

    /** The problem of a name that is not in a list, with all that are. */
    static Problem unknown(String kind, Object given, Collection<String> allowed) {
        new Problem("unknown ${kind} '${given}': allowed: ${allowed.join(', ')}")
    }
}
