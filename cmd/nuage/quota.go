package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"nuage/api"
)

// projectFlags are what a project can be told. Only what was given changes a spec.
type projectFlags struct {
	description        string
	instances, volumes uint32
	cpu                vcpus
	memory, storage    size
	concurrency        int

	functions, triggers, queues, topics uint32
}

func (p *projectFlags) declare(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.description, "description", "", "what the project is for; default: nothing")
	f.Uint32Var(&p.instances, "instances", 0, "most instances, stopped ones too; 0 sets no limit; default: no limit")
	f.Var(&p.cpu, "vcpu", "most vCPUs of all instances, as 4 or 0.5; 0 sets no limit; default: no limit")
	f.Var(&p.memory, "memory", "most memory of all instances, as 8GiB; 0 sets no limit; default: no limit")
	f.Uint32Var(&p.volumes, "volumes", 0, "most volumes; 0 sets no limit; default: no limit")
	f.Var(&p.storage, "storage", "most storage of all volumes, as 100GiB; 0 sets no limit; default: no limit")
	f.Uint32Var(&p.functions, "functions", 0, "most functions; 0 sets no limit; default: no limit")
	f.Uint32Var(&p.triggers, "triggers", 0, "most triggers, schedules among them; 0 sets no limit; default: no limit")
	f.Uint32Var(&p.queues, "queues", 0, "most queues; 0 sets no limit; default: no limit")
	f.Uint32Var(&p.topics, "topics", 0, "most topics; 0 sets no limit; default: no limit")
	f.IntVar(&p.concurrency, "concurrency", 0, "calls of all its functions at once at most; more are refused with 429; 0: as many as the cloud has")
}

func (p *projectFlags) apply(spec *api.ProjectSpec, given func(string) bool) {
	for flag, set := range map[string]func(){
		"description": func() { spec.Description = p.description },
		"instances":   func() { spec.Quota.Instances = int64(p.instances) },
		"vcpu":        func() { spec.Quota.MilliCPU = int64(p.cpu) },
		"memory":      func() { spec.Quota.MemoryBytes = int64(p.memory) },
		"volumes":     func() { spec.Quota.Volumes = int64(p.volumes) },
		"storage":     func() { spec.Quota.VolumeBytes = int64(p.storage) },
		"functions":   func() { spec.Quota.Functions = int64(p.functions) },
		"triggers":    func() { spec.Quota.Triggers = int64(p.triggers) },
		"queues":      func() { spec.Quota.Queues = int64(p.queues) },
		"topics":      func() { spec.Quota.Topics = int64(p.topics) },
		"concurrency": func() { spec.Concurrency = p.concurrency },
	} {
		if given(flag) {
			set()
		}
	}
}

func (c *cli) projectUpdateCmd() *cobra.Command {
	var flags projectFlags
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change the description or the quota of a project",
		Long: "Change the description or the quota of a project. What is not given stays. A quota counts what is declared and not what is\n" +
			"used, stopped instances too; what is there already stays, also above a new quota.",
		Example:           lines("nuage project update shop --instances 4 --vcpu 4 --memory 8GiB", "nuage project update shop --volumes 10 --storage 100GiB", "nuage project update shop --instances 0"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.completeProjects,
	}
	flags.declare(cmd)
	withoutDefaults(cmd)
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		if err := anyGiven(cmd, "project", args[0]); err != nil {
			return err
		}
		p, err := editProject(ctx, s, args[0], func(spec *api.ProjectSpec) { flags.apply(spec, cmd.Flags().Changed) })
		if err != nil {
			return err
		}
		return printDetail(c, c.projects(), p)
	})
	return cmd
}

// editProject changes a project's spec; again where somebody else changed it meanwhile.
func editProject(ctx context.Context, s session, name string, edit func(*api.ProjectSpec)) (p api.Project, err error) {
	for range updateTries {
		if p, err = s.cloud.Projects.Get(ctx, name); err != nil {
			return p, err
		}
		spec := p.Spec
		edit(&spec)
		p, err = s.cloud.Projects.Update(ctx, name, spec, p.Generation)
		if !errors.Is(err, api.Conflict) {
			return p, err
		}
	}
	return p, err
}

// completeProjects offers the names of the projects to the shell.
func (c *cli) completeProjects(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	s, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	list, err := s.cloud.Projects.List(cmd.Context(), api.Page{Limit: pageSize})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, p := range list.Items {
		names = append(names, p.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// quotaColumns show what a project has, and the most it may have where there is a limit.
func quotaColumns() []column[api.Project] {
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	part := func(head string, of func(api.Quota) int64, text func(int64) string) column[api.Project] {
		return column[api.Project]{head: head, detail: true, cell: func(p api.Project) string { return usedText(of(p.Status.Used), of(p.Spec.Quota), text) }}
	}
	return []column[api.Project]{
		part("INSTANCES", func(q api.Quota) int64 { return q.Instances }, count),
		part("VCPU", func(q api.Quota) int64 { return q.MilliCPU }, vcpuText),
		part("MEMORY", func(q api.Quota) int64 { return q.MemoryBytes }, bytesText),
		part("VOLUMES", func(q api.Quota) int64 { return q.Volumes }, count),
		part("STORAGE", func(q api.Quota) int64 { return q.VolumeBytes }, bytesText),
		part("FUNCTIONS", func(q api.Quota) int64 { return q.Functions }, count),
		part("TRIGGERS", func(q api.Quota) int64 { return q.Triggers }, count),
		part("QUEUES", func(q api.Quota) int64 { return q.Queues }, count),
		part("TOPICS", func(q api.Quota) int64 { return q.Topics }, count),
		{head: "CONCURRENCY", detail: true, cell: func(p api.Project) string { return atMost(p.Spec.Concurrency) }},
	}
}

// usedText is 3 of 4, or 3 where there is no limit.
func usedText(used, limit int64, text func(int64) string) string {
	if limit == 0 {
		return text(used) + ", no limit"
	}
	return fmt.Sprintf("%s of %s", text(used), text(limit))
}
