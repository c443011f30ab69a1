package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticks is the unit of CPU times in /proc: USER_HZ, which is 100 on every Linux that Go supports.
const ticks = 100

// CPU returns the CPU time of the process, user and system.
func (p *Process) CPU() (time.Duration, error) {
	text, err := readProc(p.pid(), "stat")
	if err != nil {
		return 0, err
	}
	return parseStat(text)
}

// Tree returns the CPU time and the resident memory in bytes of the process and its children.
// Shared pages count for each of them.
func (p *Process) Tree() (cpu time.Duration, resident int64, err error) {
	text, err := readProc(p.pid(), fmt.Sprintf("task/%d/children", p.pid()))
	if err != nil {
		return 0, 0, err
	}
	for _, id := range append(strings.Fields(text), strconv.Itoa(p.pid())) {
		pid, err1 := strconv.Atoi(id)
		stat, err2 := readProc(pid, "stat")
		status, err3 := readProc(pid, "status")
		if err := errors.Join(err1, err2, err3); err != nil {
			return 0, 0, err
		}
		spent, err1 := parseStat(stat)
		size, err2 := parseSize(status, "VmRSS:")
		if err := errors.Join(err1, err2); err != nil {
			return 0, 0, err
		}
		cpu, resident = cpu+spent, resident+size
	}
	return cpu, resident, nil
}

// Peak returns the largest resident memory so far, in bytes.
func (p *Process) Peak() (int64, error) { return p.memory("VmHWM:") }

// Resident returns the current resident memory in bytes.
func (p *Process) Resident() (int64, error) { return p.memory("VmRSS:") }

// Read returns how many bytes the process has read from files and connections.
func (p *Process) Read() (int64, error) {
	text, err := readProc(p.pid(), "io")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(text, "rchar: ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		return 0, errors.New("no rchar in /proc/<pid>/io")
	}
	return n, nil
}

// Sockets returns the number of open sockets of the process.
func (p *Process) Sockets() (int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", p.pid())
	open, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("read process statistics: %w", err)
	}
	n := 0
	for _, fd := range open {
		if to, err := os.Readlink(dir + "/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n, nil
}

func (p *Process) memory(key string) (int64, error) {
	text, err := readProc(p.pid(), "status")
	if err != nil {
		return 0, err
	}
	return parseSize(text, key)
}

func (p *Process) pid() int { return p.cmd.Process.Pid }

func readProc(pid int, name string) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		return "", fmt.Errorf("read process statistics: %w", err)
	}
	return string(data), nil
}

func parseStat(stat string) (time.Duration, error) {
	// The name in parentheses may contain anything. utime and stime are the 12th and 13th field
	// after it.
	_, rest, _ := strings.Cut(stat[max(0, strings.LastIndex(stat, ")")):], " ")
	all := strings.Fields(rest)
	if len(all) < 13 {
		return 0, fmt.Errorf("unexpected format of /proc/<pid>/stat: %q", stat)
	}
	user, err1 := strconv.ParseInt(all[11], 10, 64)
	system, err2 := strconv.ParseInt(all[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticks, errors.Join(err1, err2)
}

func parseSize(status, key string) (int64, error) {
	_, rest, _ := strings.Cut(status, key)
	size, _, found := strings.Cut(rest, "kB")
	kb, err := strconv.ParseInt(strings.TrimSpace(size), 10, 64)
	if !found || err != nil {
		return 0, errors.New("no such memory value in /proc/<pid>/status")
	}
	return kb << 10, nil
}
