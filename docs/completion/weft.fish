# fish completion for weft. Made by 'weft completion fish'.
function __weft_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	for line in ($words[1] complete -- $words[2..-1] "$current" 2>/dev/null)
		if string match -q ':files*' -- $line
			__fish_complete_path (string replace -r -- '^--[^=]*=' '' "$current")
		else
			echo $line
		end
	end
end
complete -c weft -f -a '(__weft_complete)'
