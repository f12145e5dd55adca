package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// mutants changes the documents of the corpus on which both tools agree, and reports where they then do not.
func (o options) mutants() error {
	files, err := filepath.Glob(filepath.Join(o.corpus, o.only+".xml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no documents %s in %s", o.only, o.corpus)
	}
	if o.keep != "" {
		if err := os.MkdirAll(o.keep, 0o700); err != nil {
			return err
		}
	}
	queue := make(chan string)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards counts and failed
	counts := map[string]int{}
	var failed error
	for range 2 {
		wg.Go(func() {
			for file := range queue {
				err := o.mutantsOf(file, func(level string) {
					mu.Lock()
					counts[level]++
					mu.Unlock()
				})
				if err != nil {
					mu.Lock()
					failed = errors.Join(failed, fmt.Errorf("%s: %w", file, err))
					mu.Unlock()
				}
			}
		})
	}
	for _, f := range files {
		queue <- f
	}
	close(queue)
	wg.Wait()
	var list []string
	for level, n := range counts {
		list = append(list, fmt.Sprintf("%s %d", level, n))
	}
	slices.Sort(list)
	fmt.Println(strings.Join(list, ", "))
	return failed
}

func (o options) mutantsOf(file string, count func(level string)) error {
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(file), ".xml")
	root, err := parseTree(text)
	if err != nil {
		return err
	}
	aged(root)
	text = root.text()
	base, err := o.judge(dir, text)
	if err != nil {
		return err
	}
	if base.level != "equal" {
		count("base: " + base.level)
		fmt.Printf("%s: differs already: %s\n", name, base.sort)
		return nil
	}
	sum := fnv.New64a()
	sum.Write([]byte(name))
	for i := range o.mutate {
		root, err := parseTree(text)
		if err != nil {
			return err
		}
		seed := o.seed + i
		m := &mutator{rng: rand.New(rand.NewPCG(sum.Sum64(), uint64(seed))), root: root}
		for range 1 + m.rng.IntN(o.steps) {
			m.mutate()
		}
		changed := root.text()
		v, err := o.judge(dir, changed)
		if err != nil {
			return err
		}
		count(v.level)
		if v.sort == "" {
			continue
		}
		what := strings.Join(m.notes, "; ")
		fmt.Printf("%s-%d: %s: %s\n", name, seed, v.sort, what)
		if o.keep != "" {
			if err := o.keepReduced(dir, fmt.Sprintf("%s-%d", name, seed), changed, v, what); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepReduced writes the smallest document with the same sort of difference, and what the tools say of it.
func (o options) keepReduced(dir, name string, text []byte, v verdict, what string) error {
	root, err := parseTree(text)
	if err != nil {
		return err
	}
	if !o.whole {
		reduce(root, func(e *element) bool {
			now, err := o.judge(dir, e.text())
			return err == nil && now.sort == v.sort
		})
	}
	now, err := o.judge(dir, root.text())
	if err != nil {
		return err
	}
	report := fmt.Sprintf("%s\n%s\n%s\n", what, now.sort, diff(dir, now.theirs, now.ours))
	return errors.Join(os.WriteFile(filepath.Join(o.keep, name+".xml"), root.text(), 0o600),
		os.WriteFile(filepath.Join(o.keep, name+".diff"), []byte(report), 0o600))
}

func (o options) reduceFile() error {
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(o.reduce)
	if err != nil {
		return err
	}
	v, err := o.judge(dir, text)
	if err != nil {
		return err
	}
	if v.sort == "" {
		fmt.Println(v.level)
		return nil
	}
	o.keep = dir
	if err := o.keepReduced(dir, "small", text, v, o.reduce); err != nil {
		return err
	}
	for _, f := range []string{"small.xml", "small.diff"} {
		text, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			return err
		}
		os.Stdout.Write(text)
	}
	return nil
}
