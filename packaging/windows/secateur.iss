; Inno Setup script of the Windows installer; build.ps1 gives Version and Bundle. Never run.
#define Name "Secateur"

[Setup]
AppId={{6C6C3F2B-6B0E-4C4B-9E2E-5B0F2B9A7D41}
AppName={#Name}
AppVersion={#Version}
DefaultDirName={autopf}\{#Name}
DisableProgramGroupPage=yes
LicenseFile={#Bundle}\LICENSE
OutputBaseFilename=secateur-{#Version}-setup
SetupIconFile={#Bundle}\secateur.ico
UninstallDisplayIcon={app}\secateur.ico
Compression=lzma2
SolidCompression=yes
ArchitecturesAllowed=x64compatible
ArchitecturesInstallIn64BitMode=x64compatible
PrivilegesRequired=lowest
PrivilegesRequiredOverridesAllowed=dialog
ChangesAssociations=yes
ChangesEnvironment=yes

[Tasks]
Name: desktopicon; Description: "{cm:CreateDesktopIcon}"; Flags: unchecked
Name: path; Description: "Make the command secateur known in terminals"; Flags: unchecked

[Files]
Source: "{#Bundle}\*"; DestDir: "{app}"; Flags: recursesubdirs createallsubdirs ignoreversion

[Icons]
Name: "{autoprograms}\{#Name}"; Filename: "{app}\pythonw.exe"; Parameters: "-P -m secateur.app.main"; IconFilename: "{app}\secateur.ico"; WorkingDir: "{%USERPROFILE}"
Name: "{autodesktop}\{#Name}"; Filename: "{app}\pythonw.exe"; Parameters: "-P -m secateur.app.main"; IconFilename: "{app}\secateur.ico"; WorkingDir: "{%USERPROFILE}"; Tasks: desktopicon

[Registry]
; Offered by "Open with": no file type is taken away from another program.
Root: HKA; Subkey: "Software\Classes\Applications\secateur.cmd"; ValueType: string; ValueName: "FriendlyAppName"; ValueData: "{#Name}"; Flags: uninsdeletekey
Root: HKA; Subkey: "Software\Classes\Secateur.Model"; ValueType: string; ValueData: "Model for {#Name}"; Flags: uninsdeletekey
Root: HKA; Subkey: "Software\Classes\Secateur.Model\DefaultIcon"; ValueType: string; ValueData: "{app}\secateur.ico"
Root: HKA; Subkey: "Software\Classes\Secateur.Model\shell\open\command"; ValueType: string; ValueData: """{app}\pythonw.exe"" -P -m secateur.app.main ""%1"""
Root: HKA; Subkey: "Software\Classes\.onnx\OpenWithProgids"; ValueType: string; ValueName: "Secateur.Model"; ValueData: ""; Flags: uninsdeletevalue
Root: HKA; Subkey: "Software\Classes\.pt2\OpenWithProgids"; ValueType: string; ValueName: "Secateur.Model"; ValueData: ""; Flags: uninsdeletevalue
Root: HKA; Subkey: "Software\Classes\.safetensors\OpenWithProgids"; ValueType: string; ValueName: "Secateur.Model"; ValueData: ""; Flags: uninsdeletevalue
Root: HKA; Subkey: "Software\Classes\.gguf\OpenWithProgids"; ValueType: string; ValueName: "Secateur.Model"; ValueData: ""; Flags: uninsdeletevalue
Root: HKA; Subkey: "Environment"; ValueType: expandsz; ValueName: "Path"; ValueData: "{olddata};{app}"; Tasks: path; Check: not IsAdminInstallMode and NotInPath

[Run]
Filename: "{app}\pythonw.exe"; Parameters: "-P -m secateur.app.main"; Description: "{cm:LaunchProgram,{#Name}}"; Flags: postinstall nowait skipifsilent

[UninstallDelete]
Type: filesandordirs; Name: "{app}"

[Code]
function NotInPath: Boolean;
var
  Path: String;
begin
  if not RegQueryStringValue(HKCU, 'Environment', 'Path', Path) then
    Path := '';
  Result := Pos(';' + Lowercase(ExpandConstant('{app}')) + ';', ';' + Lowercase(Path) + ';') = 0;
end;

procedure CurUninstallStepChanged(Step: TUninstallStep);
var
  Path, Own: String;
begin
  if (Step = usPostUninstall) and RegQueryStringValue(HKCU, 'Environment', 'Path', Path) then
  begin
    Own := ';' + ExpandConstant('{app}');
    if Pos(Lowercase(Own), Lowercase(Path)) > 0 then
    begin
      Delete(Path, Pos(Lowercase(Own), Lowercase(Path)), Length(Own));
      RegWriteExpandStringValue(HKCU, 'Environment', 'Path', Path);
    end;
  end;
end;
