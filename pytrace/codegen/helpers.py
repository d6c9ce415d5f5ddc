"""The BPF helpers that are used (uapi/linux/bpf.h, `enum bpf_func_id`), and which of them a kernel may lack."""

from __future__ import annotations

import enum


class Helper(enum.IntEnum):
    map_lookup_elem = 1
    map_update_elem = 2
    map_delete_elem = 3
    ktime_get_ns = 5
    trace_printk = 6
    get_prandom_u32 = 7
    get_smp_processor_id = 8
    get_current_pid_tgid = 14
    get_current_uid_gid = 15
    get_current_comm = 16
    get_current_task = 35
    get_numa_node_id = 42
    get_socket_cookie = 46
    override_return = 58
    get_stack = 67
    get_current_cgroup_id = 80
    map_push_elem = 87
    map_pop_elem = 88
    map_peek_elem = 89
    probe_write_user = 36
    send_signal = 109
    probe_read_user = 112
    probe_read_kernel = 113
    probe_read_user_str = 114
    probe_read_kernel_str = 115
    send_signal_thread = 117
    jiffies64 = 118
    get_ns_current_pid_tgid = 120
    ktime_get_boot_ns = 125
    seq_printf = 126
    ringbuf_reserve = 131
    ringbuf_submit = 132
    ringbuf_discard = 133
    ringbuf_query = 134
    get_task_stack = 141
    d_path = 147
    per_cpu_ptr = 153
    get_current_task_btf = 158
    for_each_map_elem = 164
    get_func_ip = 173
    get_attach_cookie = 174
    task_pt_regs = 175
    loop = 181
    strncmp = 182
    map_lookup_percpu_elem = 195
    ktime_get_tai_ns = 208


FEATURES = {
    Helper.for_each_map_elem: "for_each_map_elem",
    Helper.loop: "bpf_loop",
    Helper.map_lookup_percpu_elem: "percpu_lookup",
    Helper.get_current_task_btf: "get_current_task_btf",
    Helper.get_attach_cookie: "attach_cookie",
    Helper.get_func_ip: "get_func_ip",
    Helper.ktime_get_boot_ns: "ktime_boot",
    Helper.ktime_get_tai_ns: "ktime_tai",
    Helper.jiffies64: "jiffies",
    Helper.send_signal: "send_signal",
    Helper.send_signal_thread: "send_signal_thread",
    Helper.override_return: "override",
    Helper.probe_write_user: "write_user",
    Helper.d_path: "d_path",
    Helper.get_socket_cookie: "socket_cookie",
    Helper.strncmp: "strncmp",
    Helper.task_pt_regs: "task_pt_regs",
    Helper.get_ns_current_pid_tgid: "ns_pid",
    Helper.get_current_cgroup_id: "cgroup_id",
}
"""The name in the feature table of every helper that is younger than Linux 5.10 or not in every kernel."""
