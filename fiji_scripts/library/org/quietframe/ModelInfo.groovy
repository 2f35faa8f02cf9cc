package org.quietframe

import groovy.transform.CompileStatic
import org.quietframe.Report.Row

/** What a model says of itself, without running it, and whether it would run here. */
@CompileStatic
class ModelInfo {

    private static final List<String> STATISTICS = ['mean', 'std', 'p01', 'p50', 'p999', 'min', 'max']

    /** Show what there is to say of a model; the lines as one text. A macro finds it in getInfo("quietframe.model"). */
    static String show(String path) {
        List<Row> rows = describe(Models.find(path))
        Report.show('Quietframe Model Info', 'quietframe.model', rows)
        return rows.join('\n')
    }

    static List<Row> describe(File file) {
        ModelFile model = new ModelFile(file)
        String axes = model.property('axes')
        List<Row> rows = [
            new Row('file', file.toString()),
            new Row('sha256', model.sha256),
            new Row('made by', axes == null ? "${model.header.producer ?: 'unknown'}, not by Quietframe".toString() :
                "Quietframe ${model.property('version') ?: ''}".trim()),
            new Row('opset', "${model.header.opset}, IR ${model.header.irVersion}"),
        ]
        add(rows, 'method', model.property('method'))
        add(rows, 'unit', model.property('unit'))
        add(rows, 'axes', axes == null ? null : "${axes} (${axes == 'NCZYX' ? 'volumes' : axes == 'NCYX' ? 'planes' : 'others'})".toString())
        add(rows, 'outputs', model.property('outputs'))
        add(rows, 'halo [px]', model.property('halo'))
        add(rows, 'step [px]', model.property('step'))
        add(rows, 'smallest picture [px]', model.property('min'))
        add(rows, 'normalised by', model.property('input_mean') == null ? null :
            "mean ${model.property('input_mean')}, std ${model.property('input_std')}".toString())
        Map<String, Double> known = model.statistics(-1)
        for (String name : STATISTICS) {
            if (known.containsKey(name)) {
                rows.add(new Row("training data ${name}".toString(), Mismatch.brief(known.get(name))))
            }
        }
        addAll(rows, 'setting', model.record.get('settings'))
        addAll(rows, 'provenance', model.record.get('provenance'))
        rows.add(runs(file))
        return rows
    }

    private static Row runs(File file) {
        try {
            OnnxModel network = OnnxModel.of(file.path, 'auto', 0)
            return new Row('runs here', "on ${network.providerNote}; ${network.channels} " +
                "channel${network.channels == 1 ? '' : 's'} in, ${network.outputChannels} out")
        } catch (Problem problem) {
            return new Row('runs here', "no: ${problem.message}", false)
        }
    }

    private static void add(List<Row> rows, String name, String text) {
        if (text) {
            rows.add(new Row(name, text))
        }
    }

    private static void addAll(List<Row> rows, String kind, Object values) {
        if (values instanceof Map) {
            ((Map<String, Object>) values).each { String name, Object value ->
                String text = value instanceof Double && (Double) value == Math.rint((Double) value) && Math.abs((Double) value) < 1e15d ?
                    String.valueOf(((Double) value).longValue()) : String.valueOf(value)
                add(rows, "${kind} ${name}".toString(), text.take(200))
            }
        }
    }
}
