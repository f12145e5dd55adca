package runner

import (
	"bufio"
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/agents"
)

// Acknowledgements go in front of the next message, and by themselves when there is none for a second.
func TestClient_AckWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		c := NewClient(here, ClientConfig{})
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- c.Run(ctx) }()
		in := bufio.NewReader(there)
		next := func() Message {
			t.Helper()
			m, err := readMessage(in)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		if m := next(); m.Kind != KindHello {
			t.Fatalf("first message of kind %d", m.Kind)
		}
		frame, err := encode(Message{Kind: KindHello, Hello: &Hello{Version: Version}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := there.Write(frame); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, id := range []string{"a", "b"} {
			if err := c.Ack(id); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(ackTime / 2)
		if err := c.Cancel("x"); err != nil {
			t.Fatal(err)
		}
		for _, want := range []Message{{Kind: KindAck, ID: "a"}, {Kind: KindAck, ID: "b"}, {Kind: KindCancel, ID: "x"}} {
			if m := next(); m.Kind != want.Kind || m.ID != want.ID {
				t.Errorf("message %d %q, want %d %q", m.Kind, m.ID, want.Kind, want.ID)
			}
		}
		if took := time.Since(began); took != ackTime/2 {
			t.Errorf("they came after %v, want %v", took, ackTime/2)
		}
		began = time.Now()
		if err := c.Ack("c"); err != nil {
			t.Fatal(err)
		}
		if m := next(); m.Kind != KindAck || m.ID != "c" || time.Since(began) != ackTime {
			t.Errorf("message %d %q after %v, want an acknowledgement after %v", m.Kind, m.ID, time.Since(began), ackTime)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := c.Ack("d"); err != ErrGone {
			t.Errorf("Ack() of an ended client = %v, want %v", err, ErrGone)
		}
		if err := c.Start(agents.Request{}); err == nil {
			t.Error("an invalid request was taken")
		}
	})
}
