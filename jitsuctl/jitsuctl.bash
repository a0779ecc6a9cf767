# bash completion for jitsuctl(1), made by: jitsuctl document bash
_jitsuctl()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= word
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		add|remove|list|show|start|stop|pause|restart|pin|unpin|set|console|events|trace|top|status|version|help) command=$word; break ;;
		esac
	done
	COMPREPLY=()
	case $previous in
	-s|--socket|--xl-cfg) COMPREPLY=($(compgen -f -- "$current")); return ;;
	-m|--mode) COMPREPLY=($(compgen -W 'destroy shutdown suspend pause' -- "$current")); return ;;
	-t|--timeout|-i|--interval) return ;;
	esac
	case $current in
	-*) COMPREPLY=($(compgen -W '--socket --json --timeout --stop --xl-cfg --mode --follow --interval --once --help --version' -- "$current")); return ;;
	esac
	case $command in
	add)
		compopt -o nospace 2>/dev/null
		COMPREPLY=($(compgen -S = -W 'name dns ip uuid kernel ramdisk cmdline memory vcpus type cpus cpupool nic mac script disk rumprun_config rumprun_addr rumprun_mask rumprun_gw rumprun_hostname ttl ptr wake_any wait_for_key wait_for_key_limit ready_port ready_port_limit frame_limit response_delay wait_limit stop_mode shutdown_limit idle idle_by idle_traffic pinned on_poweroff on_reboot on_crash use_synjitsu wake ports sim_boot sim_frame sim_key sim_port sim_death sim_reason sim_console sim_fail sim_stop sim_deaf sim_wake sim_wake_fail sim_suspend sim_suspend_fail sim_restore sim_restore_fail sim_traffic' -- "$current") $(compgen -f -- "$current")) ;;
	remove|show|start|stop|pause|restart|pin|unpin|set|console|trace)
		COMPREPLY=($(compgen -W "$(jitsuctl --timeout 2 list 2>/dev/null |
			awk 'NR > 1 { print $1 }')" -- "$current")) ;;
	help|'')
		COMPREPLY=($(compgen -W 'add remove list show start stop pause restart pin unpin set console events trace top status version help' -- "$current")) ;;
	esac
}
complete -F _jitsuctl jitsuctl
