package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Texts that clients compare with. They are Firecracker's.
const (
	msgAfterStart  = "The requested operation is not supported after starting the microVM."
	msgBeforeStart = "The requested operation is not supported before starting the microVM."
	msgLoadTooLate = "Loading a microVM snapshot not allowed after configuring boot-specific resources."
	msgWhileRuns   = "Cannot save the microVM state: Operation not allowed: save/restore unavailable while running"
	msgNotTracked  = "Diff snapshots are not allowed on uVMs with dirty page tracking disabled."
)

// fault is a request that was not carried out: the status of its answer, and
// the message in it.
type fault struct {
	status  int
	message string
	cause   error // what the machine said, if it did
}

func (f *fault) Error() string { return f.message }

func (f *fault) Unwrap() error { return f.cause }

// refuse is the answer to a mistake of the client.
func refuse(format string, args ...any) *fault {
	return &fault{status: http.StatusBadRequest, message: fmt.Sprintf(format, args...)}
}

// unsupported is the answer to what this machine cannot do and Firecracker can.
func unsupported(format string, args ...any) *fault {
	return refuse("The requested operation is not supported: "+format, args...)
}

// failed is the answer when the machine did not do what it was asked to.
// Firecracker makes no difference between its own failures and those of the
// client: all are 400.
func failed(what string, err error) *fault {
	return &fault{status: http.StatusBadRequest, message: what + ": " + err.Error(), cause: err}
}

// asFault returns the fault in err. Errors that are none come from reading a
// body and speak for themselves.
func asFault(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	return refuse("%v", err)
}

// writeFault answers with the fault.
func writeFault(w http.ResponseWriter, f *fault) {
	writeJSON(w, f.status, struct {
		Message string `json:"fault_message"`
	}{f.message})
}

// writeJSON answers with a document. The types given are our own, so it can be
// encoded; and a client that does not listen any more cannot be told so.
func writeJSON(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"fault_message":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
