/* SPDX-License-Identifier: Apache-2.0 */
/* weft completion: scripts for shells. They know nothing of weft: they ask `weft complete` for words, so that they
 * never grow old. */
#include "cli/cli.h"
#include "core/diag.h"

static const char *const shells[] = {"bash", "zsh", "fish", NULL};

/* Readline has broken "--output=json" at its '='; only what comes after it is replaced then. */
static const char bash_script[] =
	"# bash completion for weft. Made by 'weft completion bash'.\n"
	"_weft() {\n"
	"	local words=() word meaning cut= i\n"
	"	for ((i = 1; i <= COMP_CWORD; i++)); do\n"
	"		word=${COMP_WORDS[i]}\n"
	"		if ((${#words[@]})) && [[ ${words[-1]} == --* && ($word == = || ${words[-1]} == *=) && "
	"${COMP_WORDS[i-1]} != --*=* ]]; then\n"
	"			words[-1]+=$word\n"
	"		else\n"
	"			words+=(\"$word\")\n"
	"		fi\n"
	"	done\n"
	"	[[ ${words[-1]} == --*=* && $COMP_WORDBREAKS == *=* ]] && cut=${words[-1]%%=*}=\n"
	"	COMPREPLY=()\n"
	"	while IFS=$'\\t' read -r word meaning; do\n"
	"		if [[ $word == :files ]]; then\n"
	"			compopt -o bashdefault -o default\n"
	"			return\n"
	"		fi\n"
	"		COMPREPLY+=(\"${word#\"$cut\"}\")\n"
	"	done < <(\"$1\" complete -- \"${words[@]}\" 2>/dev/null)\n"
	"	[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=/.] ]] && compopt -o nospace\n"
	"	return 0\n"
	"}\n"
	"complete -F _weft weft\n";

static const char zsh_script[] =
	"#compdef weft\n"
	"# zsh completion for weft. Made by 'weft completion zsh'.\n"
	"_weft() {\n"
	"	local line word\n"
	"	local -a whole open before\n"
	"	before=(\"${(@Q)words[2,CURRENT-1]}\")\n"
	"	for line in \"${(@f)$(\"${(Q)words[1]}\" complete -- \"${before[@]}\" \"${(Q)PREFIX}\" "
	"2>/dev/null)}\"; do\n"
	"		word=${line%%$'\\t'*}\n"
	"		if [[ $word == :files ]]; then\n"
	"			compset -P '--*='\n"
	"			_files\n"
	"			return\n"
	"		fi\n"
	"		[[ -n $word ]] || continue\n"
	"		line=\"${word//:/\\\\:}:${line#*$'\\t'}\"\n"
	"		if [[ $word == *[=/.] ]]; then open+=(\"$line\"); else whole+=(\"$line\"); fi\n"
	"	done\n"
	"	local ret=1\n"
	"	((${#whole})) && _describe -t words word whole && ret=0\n"
	"	((${#open})) && _describe -t words word open -S '' && ret=0\n"
	"	return ret\n"
	"}\n"
	"if [[ ${funcstack[1]-} == _weft ]]; then _weft \"$@\"; else compdef _weft weft; fi\n";

static const char fish_script[] =
	"# fish completion for weft. Made by 'weft completion fish'.\n"
	"function __weft_complete\n"
	"	set -l words (commandline -opc)\n"
	"	set -l current (commandline -ct)\n"
	"	for line in ($words[1] complete -- $words[2..-1] \"$current\" 2>/dev/null)\n"
	"		if string match -q ':files*' -- $line\n"
	"			__fish_complete_path (string replace -r -- '^--[^=]*=' '' \"$current\")\n"
	"		else\n"
	"			echo $line\n"
	"		end\n"
	"	end\n"
	"end\n"
	"complete -c weft -f -a '(__weft_complete)'\n";

const char *completion_script(const char *shell)
{
	const char *const scripts[] = {bash_script, zsh_script, fish_script};
	for (size_t i = 0; shells[i]; i++)
		if (streq(shell, shells[i]))
			return scripts[i];
	return NULL;
}

static int run(struct cli *cli, const void *options)
{
	const char *script = completion_script(cli->args[0]);
	if (!script)
		return cli_misuse(cli, "there is none for '%s'; expected bash, zsh or fish", cli->args[0]);
	fputs(script, stdout);
	return CLI_DONE;
}

const struct verb verb_completion = {
	.name = "completion",
	.arguments = "bash|zsh|fish",
	.summary = "Print the script that completes weft's words in a shell",
	.text = "Completes verbs, options, kinds, and the names of what weftd has. To have that:\n"
		"  bash: eval \"$(weft completion bash)\" in ~/.bashrc\n"
		"  zsh:  weft completion zsh >~/.zfunc/_weft (in fpath, before compinit)\n"
		"  fish: weft completion fish >~/.config/fish/completions/weft.fish",
	.min_args = 1,
	.max_args = 1,
	.words = WORDS_CHOICES,
	.choices = shells,
	.run = run,
};
