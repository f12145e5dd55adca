package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// ServeConfig describes the small HTTP service of the demo.
type ServeConfig struct {
	Listen  string // host:port
	Node    string // what it answers
	PIDFile string // written once it listens; "" = none
}

// Serve answers every request with the name of the node until SIGTERM.
func Serve(cfg ServeConfig) error {
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return err
	}
	if cfg.PIDFile != "" {
		if err := os.WriteFile(cfg.PIDFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
			l.Close()
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello from %s\n", cfg.Node)
	})}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	srv.Close()
	<-done
	return nil
}

// ServeDetached starts Serve in a process of its own and returns once that listens.
func ServeDetached(cfg ServeConfig) error {
	if cfg.PIDFile == "" {
		return errors.New("a detached service needs a pid file")
	}
	os.Remove(cfg.PIDFile)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "serve", "--listen", cfg.Listen, "--node", cfg.Node, "--pid-file", cfg.PIDFile)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("the service ended at once: %v", err)
		case <-deadline:
			cmd.Process.Kill()
			return errors.New("the service does not listen after 5 s")
		case <-tick.C:
			if data, err := os.ReadFile(cfg.PIDFile); err == nil && len(data) > 0 {
				return nil
			}
		}
	}
}
