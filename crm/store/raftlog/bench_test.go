package raftlog

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/crm/store/replica"
)

// benchDir is on the file system of the temporary folder; set QUORATE_BENCH_DIR to measure another disk.
func benchDir(b *testing.B) string {
	b.Helper()
	base := os.Getenv("QUORATE_BENCH_DIR")
	if base == "" {
		return b.TempDir()
	}
	dir, err := os.MkdirTemp(base, "raftlog")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func report(b *testing.B, d []time.Duration) {
	b.Helper()
	slices.Sort(d)
	b.ReportMetric(float64(d[len(d)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(d[len(d)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkFsync is the floor: one 4 KiB write in place and one fdatasync.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(benchDir(b), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	var d []time.Duration
	for b.Loop() {
		t := time.Now()
		if _, err := f.WriteAt(page, int64(len(d)%4096)*4096); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
		d = append(d, time.Since(t))
	}
	report(b, d)
}

// BenchmarkSave appends entries of 300 bytes, with the hard state, the applied index and the configuration in
// each save, and compacts as a node does.
func BenchmarkSave(b *testing.B) {
	for _, batch := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("entries=%d/bytes=300", batch), func(b *testing.B) {
			l := mustCreate(b, benchDir(b), founding(), Options{})
			data := []byte(strings.Repeat("x", 300))
			last := uint64(1)
			var d []time.Duration
			for b.Loop() {
				ents := make([]*raftpb.Entry, batch)
				from := last
				for i := range ents {
					last++
					ents[i] = &raftpb.Entry{Index: new(last), Term: new(uint64(1)), Type: raftpb.EntryNormal.Enum(), Data: data}
				}
				s := replica.Save{HardState: hard(1, 0, from), Entries: ents, Applied: from, ConfState: voters(17)}
				if from/10000 != last/10000 {
					s.Snapshot = snapshot(from, 1, "document", 17)
				}
				if c := l.view.snapshot.index; c > 5000 {
					s.CompactTo = c - 5000
				}
				t := time.Now()
				if err := l.Save(s); err != nil {
					b.Fatal(err)
				}
				d = append(d, time.Since(t))
			}
			report(b, d)
			b.ReportMetric(float64(last)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkSave16Writers has 16 writers which each wait for their entry; whoever saves takes all that wait.
func BenchmarkSave16Writers(b *testing.B) {
	l := mustCreate(b, benchDir(b), founding(), Options{})
	data := []byte(strings.Repeat("x", 300))
	queue := make(chan chan struct{}, 64)
	var saver, writers sync.WaitGroup
	saver.Go(func() {
		last := uint64(1)
		for first := range queue {
			batch := []chan struct{}{first}
			for len(queue) > 0 {
				batch = append(batch, <-queue)
			}
			ents := make([]*raftpb.Entry, len(batch))
			for i := range ents {
				last++
				ents[i] = &raftpb.Entry{Index: new(last), Term: new(uint64(1)), Type: raftpb.EntryNormal.Enum(), Data: data}
			}
			if err := l.Save(replica.Save{Entries: ents}); err != nil {
				b.Error(err)
			}
			for _, c := range batch {
				c <- struct{}{}
			}
		}
	})
	work := make(chan struct{})
	for range 16 {
		writers.Go(func() {
			done := make(chan struct{}, 1)
			for range work {
				queue <- done
				<-done
			}
		})
	}
	n := 0
	for b.Loop() {
		work <- struct{}{}
		n++
	}
	close(work)
	writers.Wait()
	close(queue)
	saver.Wait()
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []uint64{1000, 20000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			dir := b.TempDir()
			l := mustCreate(b, dir, founding(), Options{})
			mustSave(b, l, replica.Save{HardState: hard(2, 17, 1), Entries: entries(2, n, 2)})
			l.Close()
			for b.Loop() {
				l, err := Open(dir, Options{})
				if err != nil {
					b.Fatal(err)
				}
				l.Close()
			}
		})
	}
}
