// Say what Quietframe finds in this Fiji: Java, jars, ONNX Runtime, CUDA, the models folder; and how to mend what is wrong.
#@output String report
#@output Integer problems

import org.quietframe.Command
import org.quietframe.Doctor

rows = Command.run('Quietframe Doctor') {
    Doctor.show()
}
report = rows?.join('\n')
problems = rows?.count { !it.ok }
