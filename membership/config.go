package membership

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/membership/detector"
)

// Timing is the setting of heartbeats.
type Timing struct {
	// Interval is the time between two heartbeats; Dead the silence after which a peer is dead. Zero
	// means the value of DefaultTiming. See [detector.Config] for the limits.
	Interval, Dead time.Duration
}

// DefaultTiming rides out stalls of one second; FastTiming rides out 0.15 s and is for a quiet local network.
var (
	DefaultTiming = Timing{Interval: detector.Default.Interval, Dead: detector.Default.Dead}
	FastTiming    = Timing{Interval: detector.Fast.Interval, Dead: detector.Fast.Dead}
)

func (t Timing) filled() Timing {
	if t.Interval == 0 {
		t.Interval = DefaultTiming.Interval
	}
	if t.Dead == 0 {
		t.Dead = DefaultTiming.Dead
	}
	return t
}

// Validate reports why the timing would be unstable on an idle cluster. Zero fields get their defaults.
func (t Timing) Validate() error {
	t = t.filled()
	return detector.Config{Interval: t.Interval, Dead: t.Dead}.Validate()
}

// Member is a node of the cluster as the document has it.
type Member struct {
	ID NodeID
	// Links that the member has. Two members use the links that both have.
	Links LinkSet
	// Voter says that the member has a vote in raft; witnesses are voters.
	Voter bool
}

// Config is what a [Core] has to know. It changes online.
type Config struct {
	// Self is this node; it must be among Members. It can't change in the life of a Core.
	Self NodeID
	// Incarnation of this process, not 0. It can't change in the life of a Core.
	Incarnation Incarnation
	// Boot tells a restart of the daemon from one of the machine: a text that changes when the machine
	// boots, at most MaxBoot bytes. It can't change in the life of a Core.
	Boot string
	// Members are all members, in any order.
	Members []Member
	Timing  Timing
	// IgnoreStreams says that StreamUp and StreamDown are not called; otherwise a peer to which no stream
	// is open for twice the dead time counts as cut.
	IgnoreStreams bool
}

// MaxBoot is the largest length of Config.Boot in bytes; a UUID has 36.
const MaxBoot = 64

// ErrConfig is wrapped by the errors about a [Config].
var ErrConfig = errors.New("invalid membership settings")

// Validate reports what is wrong with the settings.
func (c Config) Validate() error {
	if c.Incarnation == 0 {
		return fmt.Errorf("%w: the incarnation of this process is 0; it must be a random number", ErrConfig)
	}
	if len(c.Boot) > MaxBoot {
		return fmt.Errorf("%w: the boot mark has %d bytes, at most %d are allowed", ErrConfig, len(c.Boot), MaxBoot)
	}
	if len(c.Members) > MaxMembers {
		return fmt.Errorf("%w: %d members, at most %d are possible", ErrConfig, len(c.Members), MaxMembers)
	}
	seen := map[NodeID]bool{}
	for _, m := range c.Members {
		if m.ID == 0 {
			return fmt.Errorf("%w: a member has number 0; numbers begin with 1", ErrConfig)
		}
		if seen[m.ID] {
			return fmt.Errorf("%w: two members have number %d", ErrConfig, m.ID)
		}
		if m.Links == 0 && len(c.Members) > 1 {
			return fmt.Errorf("%w: member %d has no link", ErrConfig, m.ID)
		}
		seen[m.ID] = true
	}
	if !seen[c.Self] {
		return fmt.Errorf("%w: this node has number %d, which is not among the members", ErrConfig, c.Self)
	}
	if err := c.Timing.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

// normal returns a copy with members sorted and defaults filled in.
func (c Config) normal() Config {
	c.Members = slices.Clone(c.Members)
	slices.SortFunc(c.Members, func(a, b Member) int { return int(a.ID) - int(b.ID) })
	c.Timing = c.Timing.filled()
	return c
}
