# bash completion for weft. Made by 'weft completion bash'.
_weft() {
	local words=() word meaning cut= i
	for ((i = 1; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if ((${#words[@]})) && [[ ${words[-1]} == --* && ($word == = || ${words[-1]} == *=) && ${COMP_WORDS[i-1]} != --*=* ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
	done
	[[ ${words[-1]} == --*=* && $COMP_WORDBREAKS == *=* ]] && cut=${words[-1]%%=*}=
	COMPREPLY=()
	while IFS=$'\t' read -r word meaning; do
		if [[ $word == :files ]]; then
			compopt -o bashdefault -o default
			return
		fi
		COMPREPLY+=("${word#"$cut"}")
	done < <("$1" complete -- "${words[@]}" 2>/dev/null)
	[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=/.] ]] && compopt -o nospace
	return 0
}
complete -F _weft weft
