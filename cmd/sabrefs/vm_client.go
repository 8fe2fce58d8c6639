//go:build amd64

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// vmClient speaks to the control socket of a machine, ours or Firecracker's.
type vmClient struct {
	socket string
	http   http.Client
}

const (
	// vmAnswerTimeout is for questions; a snapshot of a large machine takes longer
	// and has no limit but the context.
	vmAnswerTimeout = 10 * time.Second
	// maxAnswerBytes is beyond any answer.
	maxAnswerBytes = 1 << 20
)

func newVMClient(socket string) (*vmClient, error) {
	if socket == "" {
		return nil, usageError{errors.New("expected --api-sock, the control socket of the machine")}
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &vmClient{socket: socket, http: http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
}

// vmRefusalError is what the machine's monitor answered in place of success.
type vmRefusalError struct {
	Status  int
	Message string
}

func (e vmRefusalError) Error() string {
	return fmt.Sprintf("%s (HTTP status %d)", e.Message, e.Status)
}

// instance is the answer to GET / as far as it is used here.
type instance struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

// The states of an instance, as Firecracker names them.
const (
	instanceNotStarted = "Not started"
	instanceRunning    = "Running"
	instancePaused     = "Paused"
)

func (c *vmClient) describe(ctx context.Context) (instance, error) {
	ctx, cancel := context.WithTimeout(ctx, vmAnswerTimeout)
	defer cancel()
	var answer instance
	err := c.do(ctx, http.MethodGet, "/", nil, &answer)
	return answer, err
}

// setState is "Paused" or "Resumed".
func (c *vmClient) setState(ctx context.Context, state string) error {
	ctx, cancel := context.WithTimeout(ctx, vmAnswerTimeout)
	defer cancel()
	return c.do(ctx, http.MethodPatch, "/vm", map[string]string{"state": state}, nil)
}

func (c *vmClient) pause(ctx context.Context) error  { return c.setState(ctx, "Paused") }
func (c *vmClient) resume(ctx context.Context) error { return c.setState(ctx, "Resumed") }

func (c *vmClient) action(ctx context.Context, kind string) error {
	ctx, cancel := context.WithTimeout(ctx, vmAnswerTimeout)
	defer cancel()
	return c.do(ctx, http.MethodPut, "/actions", map[string]string{"action_type": kind}, nil)
}

// createSnapshot returns when both files are on disk.
func (c *vmClient) createSnapshot(ctx context.Context, kind, statePath, memoryPath string) error {
	return c.do(ctx, http.MethodPut, "/snapshot/create", map[string]string{
		"snapshot_type": kind, "snapshot_path": statePath, "mem_file_path": memoryPath}, nil)
}

// do sends one request. A nil request has no body; a nil answer is not read.
func (c *vmClient) do(ctx context.Context, method, path string, request, answer any) error {
	var body io.Reader = http.NoBody
	if request != nil {
		encoded, err := json.Marshal(request)
		if err != nil {
			return err
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("asking %s: %w", c.socket, err)
	}
	defer resp.Body.Close()
	return c.read(resp, answer)
}

func (c *vmClient) read(resp *http.Response, answer any) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	switch {
	case err != nil:
		return fmt.Errorf("the answer of %s: %w", c.socket, err)
	case resp.StatusCode >= http.StatusBadRequest:
		return fmt.Errorf("%s: %w", c.socket, refusal(resp.StatusCode, body))
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("the answer of %s: %w", c.socket, err)
	}
	return nil
}

func refusal(status int, body []byte) error {
	var fault struct {
		Message string `json:"fault_message"`
	}
	if err := json.Unmarshal(body, &fault); err != nil || fault.Message == "" {
		fault.Message = http.StatusText(status)
	}
	return vmRefusalError{status, fault.Message}
}

// started is an error unless the machine has started, so that it can be paused.
func (c *vmClient) started(ctx context.Context) (instance, error) {
	vm, err := c.describe(ctx)
	switch {
	case err != nil:
		return instance{}, err
	case vm.State == instanceNotStarted:
		return instance{}, fmt.Errorf("%s: %w", c.socket, errNotStarted)
	}
	return vm, nil
}

// errNotStarted is returned for what can only be done to a machine that runs.
var errNotStarted = errors.New("the machine has not been started")
