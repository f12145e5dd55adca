package audit

import "testing"

func BenchmarkAppend(b *testing.B) {
	for _, mode := range []struct {
		name    string
		durable bool
	}{{"durable=false", false}, {"durable=true", true}} {
		b.Run(mode.name, func(b *testing.B) {
			l, err := Open(Config{Dir: b.TempDir() + "/audit", Node: "n1", Key: key, Boot: "b"})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			data := map[string]any{"resource": "db", "operation": "monitor", "rc": 0, "env": []string{"OCF_ROOT", "OCF_RESKEY_ip", "PATH"}}
			for b.Loop() {
				if _, err := l.Append("agent-run", data, mode.durable); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
