package qemu

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// installProgram makes script the qemu-system-x86_64 that start finds.
func installProgram(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, qemuProgram), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// idleProgram speaks just enough QMP on descriptor 4 to be taken for QEMU.
const idleProgram = `echo '` + greetingLine + `' >&4
read -r command <&4
echo '{"return": {}}' >&4
exec sleep 1000
`

func TestStartReportsWhatQEMUSaid(t *testing.T) {
	installProgram(t, "echo 'cannot map the memory file' >&2; exit 1\n")
	_, err := start(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "cannot map the memory file") {
		t.Errorf("error %v, want QEMU's own words in it", err)
	}
}

func TestStartWithoutQEMU(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := start(t.Context(), nil); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("error %v, want exec.ErrNotFound", err)
	}
}

func TestCloseEndsTheProcess(t *testing.T) {
	installProgram(t, idleProgram)
	vm, err := start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := vm.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := syscall.Kill(vm.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("signal to process %d: %v, want ESRCH", vm.PID(), err)
	}
}

func TestEndOfContextEndsTheProcess(t *testing.T) {
	installProgram(t, idleProgram)
	ctx, cancel := context.WithCancel(t.Context())
	vm, err := start(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-vm.exited
	if err := vm.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// fakeGuest answers requests on a serial port; a request that it has no answer
// for it leaves unanswered.
func fakeGuest(t *testing.T, answers map[string]string) *VM {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() {
		_, _ = ours.Close(), theirs.Close()
	})
	go func() {
		for requests := bufio.NewScanner(theirs); requests.Scan(); {
			answer, known := answers[requests.Text()]
			if !known {
				continue
			}
			if _, err := theirs.Write([]byte(answer + "\n")); err != nil {
				return
			}
		}
	}()
	return &VM{serial: ours, serialReader: bufio.NewReader(ours)}
}

func TestAsk(t *testing.T) {
	vm := fakeGuest(t, map[string]string{"ping": "pong", "fib 5": "5"})
	for request, want := range map[string]string{"ping": "pong", "fib 5": "5"} {
		if got, err := vm.Ask(t.Context(), request); err != nil || got != want {
			t.Errorf("ask %q: %q, %v; want %q", request, got, err, want)
		}
	}
	if _, err := vm.Ask(t.Context(), "two\nlines"); err == nil {
		t.Error("a request of two lines was sent")
	}
}

func TestAskStopsWaitingWhenContextEnds(t *testing.T) {
	vm := fakeGuest(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := vm.Ask(ctx, "never answered"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestCheckAnswersFindsADifference(t *testing.T) {
	snapshot := Snapshot{Dir: t.TempDir()}
	recorded := []Answer{{"ping", "pong"}, {"digest 0 9", "right"}}
	if err := writeJSON(snapshot.AnswersPath(), recorded); err != nil {
		t.Fatal(err)
	}
	same := fakeGuest(t, map[string]string{"ping": "pong", "digest 0 9": "right"})
	if err := same.CheckAnswers(t.Context(), snapshot); err != nil {
		t.Errorf("equal answers: %v", err)
	}
	other := fakeGuest(t, map[string]string{"ping": "pong", "digest 0 9": "wrong"})
	err := other.CheckAnswers(t.Context(), snapshot)
	if err == nil || !strings.Contains(err.Error(), `"digest 0 9"`) {
		t.Errorf("error %v, want one that names the request", err)
	}
}

func TestPathsInQEMUOptions(t *testing.T) {
	arguments := qemuArguments(NewMachine(), memory{path: "/a,b/mem"}, "null")
	want := "memory-backend-file,id=ram,size=536870912,mem-path=/a,,b/mem,share=off"
	if !strings.Contains(strings.Join(arguments, " "), want) {
		t.Errorf("arguments %q, want %s among them", arguments, want)
	}
	const path = `/tmp/it's $HOME "x"`
	output, err := exec.Command("/bin/sh", "-c", "printf %s "+shellWord(path)).Output()
	if err != nil || string(output) != path {
		t.Errorf("the shell reads %q (%v), want %q", output, err, path)
	}
}
