package lab

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const sec = int64(time.Second)

func up(at int64, node, resource string) Record {
	return Record{At: at, Kind: KindUp, Node: node, Resource: resource}
}

func down(at int64, node, resource string) Record {
	return Record{At: at, Kind: KindDown, Node: node, Resource: resource}
}

func off(at int64, node, by string) Record { return Record{At: at, Kind: KindOff, Node: node, By: by} }

func call(at int64, node, resource, op string, rc int) Record {
	return Record{At: at, Kind: KindCall, Node: node, Resource: resource, Op: op, RC: rc}
}

func topology(at int64, quorate ...string) Record {
	return Record{At: at, Kind: KindTopology, Quorate: quorate}
}

func write(client int, key, value string, from, to int64, index uint64) ClientOp {
	return ClientOp{Client: client, Node: "n1", Key: key, Write: true, Value: value, Call: from, Return: to, Index: index}
}

func read(client int, key, value string, from, to int64, index uint64) ClientOp {
	op := write(client, key, value, from, to, index)
	op.Write = false
	return op
}

func unknown(op ClientOp) ClientOp {
	op.Outcome = OutcomeUnknown
	return op
}

func rest(node string, change func(s *Sighting)) Sighting {
	s := Sighting{Node: node, Term: 3, Index: 50, Hash: "a", Leader: "n1", Quorate: true, Idle: node == "n1", Leads: node == "n1"}
	if change != nil {
		change(&s)
	}
	return s
}

// Each row is what a run may leave; want names the invariants that do not hold.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		e    Evidence
		want []string
	}{
		{"nothing", Evidence{}, nil},
		{"moved in order", Evidence{Records: []Record{up(1, "n1", "r"), down(2, "n1", "r"), up(3, "n2", "r")}}, nil},
		{"active twice", Evidence{Records: []Record{up(1, "n1", "r"), up(2, "n2", "r")}}, []string{"I1", "I2"}},
		{"two resources on two machines", Evidence{Records: []Record{up(1, "n1", "r"), up(2, "n2", "s")}}, nil},
		{"conflict seen by the lock", Evidence{Records: []Record{up(1, "n1", "r"), {At: 2, Kind: KindConflict, Node: "n2", Resource: "r"}}}, []string{"I1"}},
		{"fenced before recovery", Evidence{Records: []Record{up(1, "n1", "r"), off(2, "n1", ByFence), up(3, "n2", "r")}}, nil},
		{"power lost, but recovered without fencing", Evidence{Records: []Record{up(1, "n1", "r"), off(2, "n1", ByLab), up(3, "n2", "r")}}, []string{"I2"}},
		{"fenced after recovery", Evidence{Records: []Record{up(1, "n1", "r"), off(2, "n1", ByLab), up(3, "n2", "r"), off(4, "n1", ByFence)}}, []string{"I2"}},
		{"another machine fenced", Evidence{Records: []Record{up(1, "n1", "r"), off(2, "n1", ByLab), off(3, "n3", ByFence), up(4, "n2", "r")}}, []string{"I2"}},
		{"died, seen by a monitor there", Evidence{Records: []Record{up(1, "n1", "r"), {At: 2, Kind: KindKill, Node: "n1", Resource: "r"}, call(3, "n1", "r", "monitor", 7), up(4, "n2", "r")}}, nil},
		{"died, seen by nobody", Evidence{Records: []Record{up(1, "n1", "r"), {At: 2, Kind: KindKill, Node: "n1", Resource: "r"}, up(4, "n2", "r")}}, []string{"I2"}},
		{"stop that failed is no proof", Evidence{Records: []Record{up(1, "n1", "r"), {At: 2, Kind: KindKill, Node: "n1", Resource: "r"}, call(3, "n1", "r", "stop", 1), up(4, "n2", "r")}}, []string{"I2"}},
		{"records written out of order", Evidence{Records: []Record{up(3, "n2", "r"), up(1, "n1", "r"), down(2, "n1", "r")}}, nil},

		{"last write shown", Evidence{Ops: []ClientOp{write(0, "k", "a", 1, 2, 5), write(0, "k", "b", 3, 4, 6)}, Final: map[string]map[string]string{"n1": {"k": "b"}}}, nil},
		{"acknowledged write lost", Evidence{Ops: []ClientOp{write(0, "k", "a", 1, 2, 5), write(0, "k", "b", 3, 4, 6)}, Final: map[string]map[string]string{"n1": {"k": "a"}}}, []string{"I3"}},
		{"acknowledged write lost on one node", Evidence{Ops: []ClientOp{write(0, "k", "a", 1, 2, 5)}, Final: map[string]map[string]string{"n1": {"k": "a"}, "n2": {"k": ""}}}, []string{"I3"}},
		{"unknown write may show late", Evidence{Ops: []ClientOp{unknown(write(0, "k", "a", 1, 2, 0)), write(1, "k", "b", 3, 4, 6)}, Final: map[string]map[string]string{"n1": {"k": "a"}}}, nil},
		{"overlapping writes", Evidence{Ops: []ClientOp{write(0, "k", "a", 1, 4, 6), write(1, "k", "b", 2, 3, 5)}, Final: map[string]map[string]string{"n1": {"k": "a"}}}, nil},

		{"read of the newest", Evidence{Ops: []ClientOp{write(0, "k", "a", 1, 2, 5), read(1, "k", "a", 3, 4, 5)}}, nil},
		{"stale read", Evidence{Ops: []ClientOp{write(0, "k", "a", 1, 2, 5), write(0, "k", "b", 3, 4, 6), read(1, "k", "a", 5, 6, 6)}}, []string{"I4"}},
		{"stale read and older index", Evidence{Ops: []ClientOp{write(0, "k", "a", 1, 2, 5), write(0, "k", "b", 3, 4, 6), read(1, "k", "a", 5, 6, 5)}}, []string{"I4", "I5"}},
		{"unknown write read later", Evidence{Ops: []ClientOp{unknown(write(0, "k", "a", 1, 2, 0)), read(1, "k", "", 3, 4, 4), read(1, "k", "a", 5, 6, 5)}}, nil},
		{"value comes and goes", Evidence{Ops: []ClientOp{unknown(write(0, "k", "a", 1, 2, 0)), read(1, "k", "a", 3, 4, 5), read(1, "k", "", 5, 6, 5)}}, []string{"I4"}},
		{"index goes back between clients", Evidence{Ops: []ClientOp{read(0, "k", "", 1, 2, 9), read(1, "k", "", 3, 4, 8)}}, []string{"I5"}},
		{"indexes of overlapping requests", Evidence{Ops: []ClientOp{read(0, "k", "", 1, 3, 9), read(1, "k", "", 2, 4, 8)}}, nil},

		{"one leader a term", Evidence{Sightings: []Sighting{{Node: "n1", Leads: true, Term: 2}, {Node: "n2", Leads: true, Term: 3}, {Node: "n1", Term: 3}}}, nil},
		{"two leaders of a term", Evidence{Sightings: []Sighting{{Node: "n1", Leads: true, Term: 2}, {Node: "n2", Leads: true, Term: 2}}}, []string{"I6"}},
		{"action run on two nodes", Evidence{Runs: []AgentRun{{Node: "n1", ID: "a.2.1.3.1.77", Op: "start"}, {Node: "n2", ID: "a.2.1.3.1.88", Op: "start"}}}, []string{"I6", "I13"}},
		{"action run twice on a node", Evidence{Runs: []AgentRun{{Node: "n1", ID: "a.2.1.3.1.77", Op: "start"}, {Node: "n1", ID: "a.2.1.3.2.77", Op: "start"}}}, []string{"I13"}},
		{"run with two records", Evidence{Runs: []AgentRun{{Node: "n1", ID: "a.2.1.3.1.77", Op: "start"}, {Node: "n1", ID: "a.2.1.3.1.77", Op: "start"}}}, []string{"I13"}},
		{"recurring monitor", Evidence{Runs: []AgentRun{{Node: "n1", ID: "m.4.77", Op: "monitor"}, {Node: "n1", ID: "m.4.77", Op: "monitor"}}}, nil},
		{"own stops of two nodes without quorum", Evidence{Runs: []AgentRun{{Node: "n1", ID: "a.2.4611686018427387904.0.1.77", Op: "stop"}, {Node: "n2", ID: "a.2.4611686018427387904.0.1.88", Op: "stop"}}}, nil},

		{"start with quorum", Evidence{StartLimit: 3, StopLimit: 9, Records: []Record{topology(1, "n1", "n2"), up(2, "n1", "r")}, End: 100 * sec}, nil},
		{"start just after the loss", Evidence{StartLimit: 3, StopLimit: 9, Records: []Record{topology(1, "n1"), topology(2), up(5, "n1", "r"), down(6, "n1", "r")}, End: 100 * sec}, nil},
		{"start long after the loss", Evidence{StartLimit: 3, StopLimit: 9, Records: []Record{topology(1, "n1"), topology(2), up(6, "n1", "r"), down(7, "n1", "r")}, End: 100 * sec}, []string{"I7"}},
		{"start without any quorum ever", Evidence{StartLimit: 3, StopLimit: 9, Records: []Record{topology(1, "n2"), up(2, "n1", "r"), down(3, "n1", "r")}}, []string{"I7"}},
		{"not stopped in time", Evidence{StartLimit: 3, StopLimit: 9, Records: []Record{topology(1, "n1"), up(2, "n1", "r"), topology(3)}, End: 13}, []string{"I7"}},
		{"healed in time", Evidence{StartLimit: 3, StopLimit: 9, Records: []Record{topology(1, "n1"), up(2, "n1", "r"), topology(3), topology(11, "n1")}, End: 100 * sec}, nil},
		{"fenced in time", Evidence{StartLimit: 3, StopLimit: 9, Records: []Record{topology(1, "n1"), up(2, "n1", "r"), topology(3), off(11, "n1", ByFence)}, End: 100 * sec}, nil},

		{"at rest", Evidence{Rest: []Sighting{rest("n1", nil), rest("n2", nil)}}, nil},
		{"no leader at rest", Evidence{Rest: []Sighting{rest("n2", nil), rest("n3", nil)}}, []string{"I9"}},
		{"other index", Evidence{Rest: []Sighting{rest("n1", nil), rest("n2", func(s *Sighting) { s.Index, s.Hash = 51, "b" })}}, []string{"I9"}},
		{"other state at one index", Evidence{Rest: []Sighting{rest("n1", nil), rest("n2", func(s *Sighting) { s.Hash = "b" })}}, []string{"I5", "I9"}},
		{"still something to do", Evidence{Rest: []Sighting{rest("n1", func(s *Sighting) { s.Idle = false }), rest("n2", nil)}}, []string{"I9"}},
		{"action under way", Evidence{Rest: []Sighting{rest("n1", func(s *Sighting) { s.Pending = 1 }), rest("n2", nil)}}, []string{"I9"}},
		{"without quorum", Evidence{Rest: []Sighting{rest("n1", nil), rest("n2", func(s *Sighting) { s.Quorate = false })}}, []string{"I9"}},
		{"follows another", Evidence{Rest: []Sighting{rest("n1", nil), rest("n2", func(s *Sighting) { s.Leader = "n3" })}}, []string{"I9"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			list := Check(&tt.e)
			for _, v := range list {
				if !slices.Contains(got, v.Invariant) {
					got = append(got, v.Invariant)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("Check() = %v, want violations of %v", list, tt.want)
			}
		})
	}
}

func TestQuorateNodes(t *testing.T) {
	t.Parallel()
	names := []string{"n1", "n2", "n3"}
	for _, tt := range []struct {
		name string
		up   string
		cut  string // "13" = frames from n1 do not reach n3
		want string
	}{
		{"all", "123", "", "n1 n2 n3"},
		{"one off", "13", "", "n1 n3"},
		{"two off", "2", "", ""},
		{"one cut off", "123", "13 31 23 32", "n1 n2"},
		{"cut in one direction", "123", "13", "n1 n2 n3"}, // by way of n2, which can lead
		{"cut from both in one direction", "123", "13 23", "n1 n2"},
		{"all alone", "123", "12 13 23", ""},
		{"one of two", "2", "2", "n2"},
		{"two of two", "12", "2", "n1 n2"},
		{"two of two, cut", "12", "2 12", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			names := names
			if strings.HasPrefix(tt.cut, "2") && len(strings.Fields(tt.cut)[0]) == 1 { // a cluster of two
				names = names[:2]
			}
			digit := func(i int) string { return names[i][1:] }
			got := quorateNodes(names, func(i int) bool { return strings.Contains(tt.up, digit(i)) },
				func(from, to int) bool { return !slices.Contains(strings.Fields(tt.cut), digit(from)+digit(to)) })
			if strings.Join(got, " ") != tt.want {
				t.Errorf("quorateNodes() = %v, want %q", got, tt.want)
			}
		})
	}
}

func TestParseLedger(t *testing.T) {
	t.Parallel()
	list, err := parseLedger(strings.NewReader(`{"at":5,"kind":"up","node":"n1","resource":"r","rc":0}` + "\n" + `{"at":6,"kind":"dow`))
	if err != nil || len(list) != 1 || list[0].String() != up(5, "n1", "r").String() {
		t.Errorf("parseLedger() = %v, %v; want the one whole record", list, err)
	}
	if _, err := parseLedger(strings.NewReader("{}\nx\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("parseLedger() of a damaged ledger = %v, want an error that names line 2", err)
	}
}

func FuzzParseLedger(f *testing.F) {
	f.Add(`{"at":5,"kind":"up","node":"n1","resource":"r","rc":0}` + "\n")
	f.Add("{}\n{\"quorate\":[\"n1\"]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseLedger(strings.NewReader(text))
		if err == nil {
			Check(&Evidence{Records: list, StartLimit: 1, StopLimit: 1})
		}
	})
}

func FuzzParseAudit(f *testing.F) {
	f.Add([]byte(`{"data":{"run":"a.1.2.3.4.5","operation":"start","rc":0},"event":"agent-run","mono":7}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		runs, err := parseAudit("n1", data)
		if err == nil {
			Check(&Evidence{Runs: runs})
		}
	})
}
