package api

import (
	"encoding/json"
	"strconv"
	"time"
)

// AppendJSON appends r as encoding/json writes it, in a tenth of the time: a receipt goes with every answer of a function.
func (r Receipt) AppendJSON(b []byte) []byte {
	b = AppendText(append(b, `{"requestId":`...), r.RequestID)
	b = AppendText(append(b, `,"project":`...), r.Project)
	b = AppendText(append(b, `,"function":`...), r.Function)
	b = AppendText(append(b, `,"functionId":`...), r.FunctionID)
	b = strconv.AppendInt(append(b, `,"version":`...), int64(r.Version), 10)
	b = AppendTime(append(b, `,"startedAt":`...), r.StartedAt)
	b = AppendTime(append(b, `,"billedAt":`...), r.BilledAt)
	b = strconv.AppendBool(append(b, `,"cold":`...), r.Cold)
	b = AppendText(append(b, `,"durationMs":`...), r.DurationMs)
	b = AppendText(append(b, `,"initMs":`...), r.InitMs)
	b = strconv.AppendInt(append(b, `,"billedMs":`...), r.BilledMs, 10)
	b = strconv.AppendInt(append(b, `,"memoryMb":`...), r.MemoryMB, 10)
	b = strconv.AppendInt(append(b, `,"maxMemoryUsedMb":`...), r.MaxMemoryUsedMB, 10)
	b = AppendText(append(b, `,"gbSeconds":`...), r.GBSeconds)
	b = AppendText(append(b, `,"price":`...), r.Price)
	b = AppendText(append(b, `,"cost":`...), r.Cost)
	b = AppendText(append(b, `,"status":`...), r.Status)
	if r.Attempt != 0 {
		b = strconv.AppendInt(append(b, `,"attempt":`...), int64(r.Attempt), 10)
	}
	return append(b, '}')
}

// AppendText appends a string in JSON.
func AppendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil { // a string always encodes
				return b
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// AppendTime appends a time of a year with four digits in JSON.
func AppendTime(b []byte, t time.Time) []byte {
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}
