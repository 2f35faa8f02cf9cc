package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.measure.ResultsTable

import java.awt.GraphicsEnvironment

/** A few lines for people: a table where there is a display, else the log; a macro reads them with getInfo(key). */
@CompileStatic
class Report {

    /** One line of a report. */
    static class Row {
        final String name
        final String text
        /** Whether there is nothing to mend. */
        final boolean ok

        Row(String name, String text, boolean ok = true) {
            this.name = name
            this.text = text
            this.ok = ok
        }

        @Override
        String toString() {
            return "${name}: ${ok ? '' : 'to mend: '}${text}"
        }
    }

    /** Show rows, and keep them as the Java property `key`, which the macro function getInfo reads. */
    static void show(String title, String key, List<Row> rows) {
        System.setProperty(key, rows.join('\n'))
        if (GraphicsEnvironment.headless) {
            rows.each { Row row -> IJ.log(row.toString()) }
            return
        }
        ResultsTable table = new ResultsTable()
        for (Row row : rows) {
            table.incrementCounter()
            table.addValue('what', row.name)
            table.addValue('found', row.text)
            table.addValue('verdict', row.ok ? 'ok' : 'to mend')
        }
        table.show(title)
    }
}
