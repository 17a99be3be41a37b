Unknown host keys are asked about or refused, changed ones always refused, also those of jump hosts; passwords are asked for once for all hosts of a call.
