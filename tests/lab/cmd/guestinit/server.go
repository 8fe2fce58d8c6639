package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sabrefs/tests/lab/linuxguest"
)

// errOff ends the conversation in order.
var errOff = errors.New("off")

// server holds what a snapshot must keep.
type server struct {
	console io.ReadWriter
	printMu sync.Mutex // lines of the ticker and of replies do not mix
	words   []uint64
	count   int
}

func newServer(console io.ReadWriter, memoryMiB int) *server {
	s := &server{console: console, words: make([]uint64, memoryMiB*linuxguest.Words)}
	for index := range s.words {
		s.words[index] = linuxguest.Word(uint64(index))
	}
	return s
}

// print writes a line. Nobody could be told that the console does not work.
func (s *server) print(line string) {
	s.printMu.Lock()
	defer s.printMu.Unlock()
	_, _ = io.WriteString(s.console, line+"\n")
}

func (s *server) tick() {
	number := 0
	for range time.Tick(tickInterval) {
		number++
		s.print(linuxguest.Tick + strconv.Itoa(number))
	}
}

func (s *server) answerAll() error {
	requests := bufio.NewScanner(s.console)
	for requests.Scan() {
		reply, err := s.answer(strings.TrimSpace(requests.Text()))
		if err != nil && !errors.Is(err, errOff) {
			reply = linuxguest.Failure + err.Error()
		}
		s.print(reply)
		if errors.Is(err, errOff) {
			return err
		}
	}
	return errors.Join(errors.New("the console has ended"), requests.Err())
}

func (s *server) answer(request string) (reply string, err error) {
	name, argument, _ := strings.Cut(request, " ")
	switch name {
	case "count":
		s.count++
		return fmt.Sprint("count ", s.count), nil
	case "sum":
		return fmt.Sprint("sum ", s.sum()), nil
	case "change":
		return s.change(argument)
	case "processors":
		return processors()
	case "uptime":
		return uptime()
	case "disk":
		return diskSize()
	case "read":
		return readSector(argument)
	case "write":
		return writeSector(argument)
	case "off":
		return "off", errOff
	default:
		return "", fmt.Errorf("unknown request %q", request)
	}
}

func (s *server) sum() (sum uint64) {
	for _, word := range s.words {
		sum += word
	}
	return sum
}

func (s *server) change(argument string) (reply string, err error) {
	pageCount, err := strconv.Atoi(argument)
	if err != nil {
		return "", err
	}
	if pageCount < 0 || pageCount > len(s.words)/linuxguest.PageWords {
		return "", fmt.Errorf("%d pages of %d", pageCount, len(s.words)/linuxguest.PageWords)
	}
	for page := range pageCount {
		s.words[page*linuxguest.PageWords]++
	}
	return fmt.Sprint("changed ", pageCount), nil
}

// processors asks every processor for a sign of life.
func processors() (reply string, err error) {
	answers := make(chan error)
	var alive []string
	for number := range runtime.NumCPU() {
		go func() { answers <- visit(number) }()
		if err := <-answers; err != nil {
			return "", fmt.Errorf("processor %d: %w", number, err)
		}
		alive = append(alive, strconv.Itoa(number))
	}
	return strings.Join(slices.Insert(alive, 0, "processors"), " "), nil
}

// visit moves the calling goroutine's thread to a processor and sees whether it
// is there. The thread ends with the goroutine, since it stays locked.
func visit(number int) error {
	runtime.LockOSThread()
	var only unix.CPUSet
	only.Set(number)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return err
	}
	here, err := presentProcessor()
	if err == nil && here != number {
		err = fmt.Errorf("the thread runs on processor %d", here)
	}
	return err
}

// presentProcessor is where the kernel says that this thread runs.
func presentProcessor() (int, error) {
	// The command's name may hold spaces; processor is the 39th field of all.
	const fieldAfterName = 39 - 3
	stat, err := os.ReadFile("/proc/thread-self/stat")
	if err != nil {
		return 0, err
	}
	_, afterName, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(afterName)
	if len(fields) <= fieldAfterName {
		return 0, fmt.Errorf("/proc/thread-self/stat has %d fields", len(fields))
	}
	return strconv.Atoi(fields[fieldAfterName])
}

func uptime() (string, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "", err
	}
	return fmt.Sprint("uptime ", now.Nano()), nil
}
