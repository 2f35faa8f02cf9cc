package org.quietframe

import groovy.transform.CompileStatic

/** Reads JSON into maps, lists, strings, doubles, booleans and null: Fiji brings no reader that every version has. */
@CompileStatic
class Json {

    private static final int DEEPEST = 100

    private final String text
    private int at

    /** The value of a whole text; an IllegalArgumentException where it is no JSON. */
    static Object parse(String text) {
        Json reader = new Json(text)
        Object value = reader.value(0)
        if (reader.peek() != 0) {
            throw reader.wrong()
        }
        return value
    }

    private Json(String text) {
        this.text = text
    }

    private Object value(int depth) {
        if (depth > DEEPEST) {
            throw wrong()
        }
        switch (peek()) {
            case (int) ('{' as char): return map(depth)
            case (int) ('[' as char): return list(depth)
            case (int) ('"' as char): return string()
            default: return word()
        }
    }

    private Map<String, Object> map(int depth) {
        Map<String, Object> found = [:]
        expect('{')
        while (!take('}')) {
            if (!found.isEmpty()) {
                expect(',')
            }
            peek()
            String key = string()
            expect(':')
            found.put(key, value(depth + 1))
        }
        return found
    }

    private List<Object> list(int depth) {
        List<Object> found = []
        expect('[')
        while (!take(']')) {
            if (!found.isEmpty()) {
                expect(',')
            }
            found.add(value(depth + 1))
        }
        return found
    }

    private String string() {
        expect('"')
        StringBuilder found = new StringBuilder()
        while (at < text.length() && text.charAt(at) != ('"' as char)) {
            char next = text.charAt(at++)
            if (next == ('\\' as char)) {
                found.append(escaped())
            } else {
                found.append(next)
            }
        }
        expect('"')
        return found.toString()
    }

    private String escaped() {
        String letter = at < text.length() ? text.substring(at, ++at) : ''
        if (letter == 'u' && at + 4 <= text.length() && text.substring(at, at + 4) ==~ /[0-9a-fA-F]{4}/) {
            at += 4
            return String.valueOf((char) Integer.parseInt(text.substring(at - 4, at), 16))
        }
        int index = letter.isEmpty() ? -1 : '"\\/bfnrt'.indexOf(letter)
        if (index < 0) {
            throw wrong()
        }
        return '"\\/\b\f\n\r\t'.substring(index, index + 1)
    }

    private Object word() {
        int start = at
        while (at < text.length() && (Character.isLetterOrDigit(text.charAt(at)) || '+-.'.indexOf((int) text.charAt(at)) >= 0)) {
            at++
        }
        String found = text.substring(start, at)
        switch (found) {
            case 'true': return true
            case 'false': return false
            case 'null': return null
            case 'NaN': return Double.NaN
            case 'Infinity': return Double.POSITIVE_INFINITY
            case '-Infinity': return Double.NEGATIVE_INFINITY
        }
        if (!(found ==~ /-?\d+(\.\d+)?([eE][+-]?\d+)?/)) {
            throw wrong()
        }
        return Double.valueOf(found)
    }

    /** The next character that is no blank, 0 at the end; blanks are left behind. */
    private int peek() {
        while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
            at++
        }
        return at < text.length() ? (int) text.charAt(at) : 0
    }

    private boolean take(String letter) {
        if (peek() != (int) letter.charAt(0)) {
            return false
        }
        at++
        return true
    }

    private void expect(String letter) {
        if (!take(letter)) {
            throw wrong()
        }
    }

    private IllegalArgumentException wrong() {
        new IllegalArgumentException("no JSON at character ${at + 1}")
    }
}
