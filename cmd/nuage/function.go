package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

// defaultHandlers are the handlers of functions that are deployed without one, by runtime.
func defaultHandlers() map[string]string {
	return map[string]string{"python": "main.handler", "nodejs": "index.handler"}
}

func (c *cli) functions() noun[api.Function, api.FunctionSpec] {
	n := noun[api.Function, api.FunctionSpec]{
		title: "a function",
		of:    func(cloud api.Cloud) api.Resource[api.Function, api.FunctionSpec] { return cloud.Functions },
		head:  (*api.Function).Head,
		state: func(f *api.Function) *api.Status { return &f.Status.Status },
		spec:  func(f *api.Function) *api.FunctionSpec { return &f.Spec },
	}
	n.word, n.name = "function", func(f *api.Function) string { return f.Name }
	n.columns = n.common(c, functionColumns()...)
	return n
}

func functionColumns() []column[api.Function] {
	return []column[api.Function]{
		{head: "RUNTIME", cell: func(f api.Function) string { return f.Spec.Runtime }},
		{head: "VERSION", cell: func(f api.Function) string { return strconv.Itoa(f.Status.Version) }},
		{head: "MEMORY", cell: func(f api.Function) string {
			return fmt.Sprintf("%d MB", orDefault(f.Spec.MemoryMB, api.DefaultMemoryMB))
		}},
		{head: "TIMEOUT", cell: func(f api.Function) string {
			return (time.Duration(orDefault(f.Spec.TimeoutMs, api.DefaultTimeoutMs)) * time.Millisecond).String()
		}},
		{head: "URL", cell: func(f api.Function) string { return f.Status.URL }},
		{head: "HANDLER", cell: func(f api.Function) string { return f.Spec.Handler }, detail: true},
		{head: "CONCURRENCY", cell: func(f api.Function) string { return atMost(f.Spec.Concurrency) }, detail: true},
		{head: "NETWORK", cell: func(f api.Function) string { return f.Spec.Network }, detail: true},
		{head: "DATABASES", cell: func(f api.Function) string { return strings.Join(f.Spec.Databases, ",") }, detail: true},
		{head: "ASYNC", cell: func(f api.Function) string { return asyncText(f.Spec.Async) }, detail: true},
		{head: "ENV", cell: func(f api.Function) string { return pairsText(f.Spec.Env) }, detail: true},
		{head: "SECRETS", cell: func(f api.Function) string { return pairsText(f.Spec.Secrets) }, detail: true},
		{head: "SOURCE", cell: func(f api.Function) string { return f.Spec.Source }, detail: true},
		{head: "LAST ERROR", cell: func(f api.Function) string { return f.Status.LastError }, detail: true},
	}
}

// atMost is a bound where there is one.
func atMost(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func orDefault(n, fallback int64) int64 {
	if n == 0 {
		return fallback
	}
	return n
}

func (c *cli) functionCmd() *cobra.Command {
	n := c.functions()
	return group("function", "Code that runs when called and is paid by the call",
		lines("nuage function deploy hello --runtime python --source hello.py", `nuage function invoke hello --data '{"name":"you"}'`, "nuage function invocations hello"),
		c.functionDeployCmd(), c.functionInvokeCmd(), n.listCmd(c), n.showCmd(c),
		c.logsCmd("logs", "function", "functions", "Print what the calls of a function print", n.complete(c)),
		n.deleteCmd(c), c.invocationsCmd(), c.functionPublishCmd(), c.functionVersionsCmd(), c.functionUnpublishCmd(), c.functionAliasCmd())
}

// functionFlags are what function deploy can be told. Only what was given changes a function that exists.
type functionFlags struct {
	runtime, source, handler, network string
	memory                            int64
	concurrency                       int
	timeout                           span
	databases                         []string
	env, secrets                      pairs
	unset                             []string
	async                             asyncFlags
}

func (c *cli) functionDeployCmd() *cobra.Command {
	flags := functionFlags{env: pairs{}, secrets: pairs{}}
	cmd := c.noWaitFlag(&cobra.Command{
		Use:   "deploy NAME --runtime wasm|python|nodejs|provided --source FILE|DIR|ZIP",
		Short: "Deploy a function",
		Long: "Deploy a function: make it, or a new version of it. A wasm function is a WASI command: the event is its stdin, the answer\n" +
			"its stdout. A handler of Python or Node.js names module and function: main.handler is handler(event, context) in main.py;\n" +
			"a single file is taken as that module. With runtime provided the code is a program named bootstrap that speaks the AWS\n" +
			"Lambda Runtime API, as AWS's libraries for Go, Rust or C++ make it. A function that exists keeps what is not given; --env and\n" +
			"--secret add to its environment, --unset takes away.",
		Example: lines("nuage function deploy hello --runtime python --source hello.py --handler hello.handler",
			"nuage function deploy greet --runtime wasm --source greet.wasm --memory 256 --timeout 10s",
			"GOOS=linux CGO_ENABLED=0 go build -tags lambda.norpc -o bootstrap . && nuage function deploy mine --runtime provided --source bootstrap",
			"nuage function deploy guestbook --runtime python --source ./guestbook --database entries"),
		Args: takes(1, 1),
	})
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		return c.deployFunction(ctx, s, args[0], flags, cmd.Flags().Changed)
	})
	flags.declare(cmd)
	return cmd
}

func (f *functionFlags) declare(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(optional(&f.runtime, "wasm", "python", "nodejs", "provided"), "runtime", "how the code runs: wasm, python, nodejs or provided; needed for a new function; default: as it was")
	fs.StringVar(&f.source, "source", "", "file, folder or .zip with the code; needed for a new function; default: as it was")
	fs.StringVar(&f.handler, "handler", "", "module.function for python and nodejs; default: main.handler, index.handler")
	fs.Int64Var(&f.memory, "memory", api.DefaultMemoryMB, "memory in MB, 128 to 10240; CPU is in proportion")
	f.timeout = span(api.DefaultTimeoutMs * time.Millisecond)
	fs.Var(&f.timeout, "timeout", "how long a call may take, up to 15m")
	fs.IntVar(&f.concurrency, "concurrency", 0, "calls at once at most; more are refused with 429; 0: as many as the project has")
	fs.Var(f.env, "env", "a NAME=VALUE in the function's environment, repeatable; default: none")
	fs.Var(f.secrets, "secret", "a NAME=VALUE in its environment that is sealed at rest and never shown again, repeatable; default: none")
	fs.StringArrayVar(&f.unset, "unset", nil, "name to take out of its environment, plain or secret, repeatable; default: none")
	fs.StringArrayVar(&f.databases, "database", nil, "database it gets, repeatable: the first as DATABASE_URL, each as DATABASE_URL_NAME; default: none")
	fs.Var(optional(&f.network, "none", "project", "internet"), "network", "what it can reach: none, project or internet; default: none, project with a database")
	f.async.declare(fs)
}

func (c *cli) deployFunction(ctx context.Context, s session, name string, flags functionFlags, given func(string) bool) error {
	if err := api.CheckName("function", name); err != nil {
		return err
	}
	found, err := s.cloud.Functions.Get(ctx, s.project, name)
	isNew := errors.Is(err, api.NotFound)
	if err != nil && !isNew {
		return err
	}
	if isNew && (flags.runtime == "" || flags.source == "") {
		return usagef("cannot deploy function %q: it is new, so give --runtime and --source", name)
	}
	flags.complete(found.Spec)
	if flags.source != "" {
		if flags.source, err = c.uploadSource(ctx, s, flags.source, flags.moduleFile()); err != nil {
			return err
		}
	}
	if isNew {
		flags.apply(&found.Spec, given)
		found, err = s.cloud.Functions.Create(ctx, s.project, name, found.Spec)
	} else {
		found, err = c.functions().edit(ctx, s, name, func(spec *api.FunctionSpec) error {
			flags.apply(spec, given)
			return nil
		})
	}
	if err != nil {
		return err
	}
	return c.finishFunction(ctx, s, found)
}

// complete fills runtime and handler in from the function as it is, and from the default.
func (f *functionFlags) complete(now api.FunctionSpec) {
	if f.runtime == "" {
		f.runtime = now.Runtime
	}
	if f.handler == "" && f.runtime == now.Runtime {
		f.handler = now.Handler
	}
	if f.handler == "" {
		f.handler = defaultHandlers()[f.runtime]
	}
}

// moduleFile is the name a single source file gets: that of the handler's module, or of a program; else its own.
func (f functionFlags) moduleFile() string {
	extension := strings.ToLower(filepath.Ext(f.source))
	dir, base := path.Split(f.handler)
	switch {
	case f.runtime == "provided" && extension != ".zip":
		return "bootstrap"
	case f.runtime == "python" && extension == ".py" && strings.LastIndex(f.handler, ".") > 0:
		return strings.ReplaceAll(f.handler[:strings.LastIndex(f.handler, ".")], ".", "/") + ".py"
	case f.runtime == "nodejs" && strings.HasSuffix(extension, "js"):
		name, _, _ := strings.Cut(base, ".")
		return dir + name + extension
	}
	return ""
}

// apply puts what was given into the spec.
func (f functionFlags) apply(spec *api.FunctionSpec, given func(string) bool) {
	spec.Runtime = f.runtime
	spec.Handler = f.handler
	if f.runtime == "wasm" {
		spec.Handler = ""
	}
	if f.source != "" {
		spec.Source = f.source
	}
	if given("memory") {
		spec.MemoryMB = f.memory
	}
	if given("concurrency") {
		spec.Concurrency = f.concurrency
	}
	if given("timeout") {
		spec.TimeoutMs = time.Duration(f.timeout).Milliseconds()
	}
	if given("database") {
		spec.Databases = f.databases
	}
	if given("network") {
		spec.Network = f.network
	}
	f.async.apply(&spec.Async, given)
	spec.Env, spec.Secrets = maps.Clone(spec.Env), maps.Clone(spec.Secrets)
	for _, name := range f.unset {
		delete(spec.Env, name)
		delete(spec.Secrets, name)
	}
	for name := range f.env { // set the other way, it moves
		delete(spec.Secrets, name)
	}
	for name := range f.secrets {
		delete(spec.Env, name)
	}
	spec.Env, spec.Secrets = f.env.into(spec.Env), f.secrets.into(spec.Secrets)
}

// finishFunction waits for a deploy and says why it failed.
func (c *cli) finishFunction(ctx context.Context, s session, f api.Function) (err error) {
	n := c.functions()
	if c.flags.noWait {
		return printItem(c, n.kind, f)
	}
	if f, err = n.settle(ctx, c, s, f.Name); err != nil {
		return err
	}
	if f.Status.Phase == api.Failed || f.Status.Phase == api.Degraded {
		cause := f.Status.LastError
		if cause == "" {
			cause = reason(&f.Status.Status)
		}
		return api.Errorf(api.Unavailable, "cannot deploy function %q: %s", f.Name, cause)
	}
	return printItem(c, n.kind, f)
}
