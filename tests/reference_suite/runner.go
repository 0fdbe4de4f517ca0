// Package runner takes the place of the reference's own package of this name, so that its integration tests drive the
// server of RATELIMIT_COMMAND: the settings of a test become the environment of a process, and the counters that a test
// reads are those of the process's /stats.
package runner

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	gostats "github.com/lyft/gostats"

	"github.com/envoyproxy/ratelimit/src/settings"
)

const stopTimeout = 20 * time.Second

type Runner struct {
	settings settings.Settings
	process  *process
}

type process struct {
	mutex   sync.Mutex
	command *exec.Cmd
	ended   chan struct{}
}

func NewRunner(s settings.Settings) Runner {
	return Runner{settings: s, process: &process{ended: make(chan struct{})}}
}

// Run starts the server and waits for its end, as the reference's does.
func (runner *Runner) Run() {
	parts := strings.Fields(os.Getenv("RATELIMIT_COMMAND"))
	command := exec.Command(parts[0], parts[1:]...)
	command.Env = append(os.Environ(), environment(runner.settings)...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	runner.process.mutex.Lock()
	runner.process.command = command
	err := command.Start()
	runner.process.mutex.Unlock()
	if err != nil {
		panic(err)
	}
	command.Wait()
	close(runner.process.ended)
}

// Stop ends the server and waits until its ports are free.
func (runner *Runner) Stop() {
	runner.process.mutex.Lock()
	command := runner.process.command
	runner.process.mutex.Unlock()
	command.Process.Signal(syscall.SIGTERM)
	select {
	case <-runner.process.ended:
	case <-time.After(stopTimeout):
		command.Process.Kill()
		panic("the server did not end after SIGTERM")
	}
	if code := command.ProcessState.ExitCode(); code != 0 {
		panic(fmt.Sprintf("the server ended with code %d", code))
	}
}

func (runner *Runner) GetStatsStore() gostats.Store {
	url := fmt.Sprintf("http://localhost:%d/stats", runner.settings.DebugPort)
	return &statsStore{gostatsStore: gostats.NewStore(gostats.NewNullSink(), false), url: url}
}

// environment has each setting under its variable's name, as an operator would write it.
func environment(s settings.Settings) []string {
	var found []string
	value, kind := reflect.ValueOf(s), reflect.TypeOf(s)
	for at := 0; at < kind.NumField(); at++ {
		if name := kind.Field(at).Tag.Get("envconfig"); name != "" {
			found = append(found, name+"="+written(value.Field(at)))
		}
	}
	return found
}

func written(value reflect.Value) string {
	switch each := value.Interface().(type) {
	case time.Duration:
		return each.String()
	case []string:
		return strings.Join(each, ",")
	case map[string]string:
		var pairs []string
		for key, text := range each {
			pairs = append(pairs, key+":"+text)
		}
		sort.Strings(pairs)
		return strings.Join(pairs, ",")
	}
	return fmt.Sprint(value.Interface())
}

// statsStore reads counters and gauges from the server whenever a test asks for them.
type gostatsStore = gostats.Store

type statsStore struct {
	gostatsStore
	url string
}

func (store *statsStore) Flush() {}

func (store *statsStore) NewCounter(name string) gostats.Counter {
	counter := store.gostatsStore.NewCounter(name)
	counter.Add(store.read(name))
	return counter
}

// NewCounterWithTags: /stats has no tags in its names; what statsd is told is another test's.
func (store *statsStore) NewCounterWithTags(name string, _ map[string]string) gostats.Counter {
	return store.NewCounter(name)
}

func (store *statsStore) NewGauge(name string) gostats.Gauge {
	gauge := store.gostatsStore.NewGauge(name)
	gauge.Set(store.read(name))
	return gauge
}

// read returns the value of a line "name: value", 0 where there is none.
func (store *statsStore) read(name string) uint64 {
	response, err := http.Get(store.url)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if text, found := strings.CutPrefix(lines.Text(), name+": "); found {
			number, err := strconv.ParseFloat(text, 64)
			if err != nil {
				panic(err)
			}
			return uint64(number)
		}
	}
	return 0
}
