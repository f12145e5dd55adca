package subprocess

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stat is what the kernel says of a process.
type stat struct {
	pid, parent, group, session int
	state                       byte
	start                       uint64 // clock ticks after boot; with pid it names a process for good
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	return parseStat(pid, string(text))
}

// parseStat reads /proc/PID/stat. The name of the program stands in parentheses and may hold anything, so the
// fields are counted from the last parenthesis.
func parseStat(pid int, text string) (stat, error) {
	i := strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[i+1:])
	if i < 0 || len(fields) < 20 || len(fields[0]) != 1 {
		return stat{}, fmt.Errorf("stat of process %d is not readable", pid)
	}
	s := stat{pid: pid, state: fields[0][0]}
	var errs [4]error
	s.parent, errs[0] = strconv.Atoi(fields[1])
	s.group, errs[1] = strconv.Atoi(fields[2])
	s.session, errs[2] = strconv.Atoi(fields[3])
	s.start, errs[3] = strconv.ParseUint(fields[19], 10, 64)
	return s, errors.Join(errs[:]...)
}

// killTree kills every process of the run and returns how many are left.
func (l *Launcher) killTree(r *run) int {
	left := 0
	if r.cgroup != "" {
		left = killGroup(r.cgroup)
		if r.version == 2 {
			return left
		}
	}
	_ = unix.Kill(-r.pid, unix.SIGKILL)
	return max(left, killMarked(r.pid, r.mark))
}

// killMarked kills the process group and session of main, its descendants, and all that carry the mark in
// their environment, until none is left or killWait has passed.
func killMarked(main int, mark string) int {
	deadline := time.Now().Add(killWait)
	for {
		left := 0
		for _, p := range treeOf(main, mark) {
			left++
			kill(p)
		}
		if left == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(killPoll)
	}
}

// kill sends SIGKILL to exactly this process, not to another that was given the same number meanwhile.
func kill(p stat) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if now, err := readStat(p.pid); err == nil && now.start == p.start {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// treeOf lists the living processes of a run.
func treeOf(main int, mark string) []stat {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	self := os.Getpid()
	var all []stat
	inTree := map[int]bool{main: true}
	if main <= 0 {
		clear(inTree)
	}
	needle := []byte(markName + "=" + mark)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == self {
			continue
		}
		s, err := readStat(pid)
		if err != nil {
			continue
		}
		all = append(all, s)
		if main > 0 && (s.group == main || s.session == main) || marked(pid, needle) {
			inTree[pid] = true
		}
	}
	// Children of the tree, and theirs. Numbers do not grow with descent, so until nothing is added.
	for added := true; added; {
		added = false
		for _, s := range all {
			if inTree[s.parent] && !inTree[s.pid] {
				inTree[s.pid] = true
				added = true
			}
		}
	}
	var alive []stat
	for _, s := range all {
		if inTree[s.pid] && s.state != 'Z' && s.state != 'X' {
			alive = append(alive, s)
		}
	}
	return alive
}

func marked(pid int, needle []byte) bool {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if bytes.Equal(v, needle) {
			return true
		}
	}
	return false
}

// KillRun ends what is left of a run that an earlier process started: the processes of the control group,
// and those with the mark. It returns how many did not die.
func (l *Launcher) KillRun(cgroup, mark string) int {
	left := 0
	if cgroup != "" {
		l.mu.Lock()
		dir := l.group.dir
		l.mu.Unlock()
		// Only below our own directory: the text comes from a file.
		if dir != "" && cgroup == dir+"/"+mark {
			left = killGroup(cgroup)
			_ = removeGroup(cgroup)
		}
	}
	if mark == "" {
		return left
	}
	return left + killMarked(0, mark)
}
