/** The widget of the form: it hands the model to the steps and their wishes to the model. */
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Contents } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import React, { useEffect, useRef } from 'react';

import { Drawn } from '../drawn';
import { CommandIDs, DeployOptions, DeployWidget } from '../parts';
import type { Draft, Problem } from '../types';
import { Notice } from '../view/pieces';
import { whileSeen } from '../watching';
import { Chooser } from './chooser';
import { openAt } from './files';
import { DeployForm } from './form';
import { Marks } from './marks';
import { DeployModel, Stage } from './model';
import { Tryout } from './tryout';
import { Unsaved } from './unsaved';
import { Wizard } from './wizard';

export class DeployForms extends ReactWidget implements DeployWidget {
  constructor(private readonly _options: DeployOptions) {
    super();
    this.addClass('jp-ModelService-work');
    this.addClass('jp-ModelService-deploy');
    const { model, update, documents } = _options;
    const path =
      _options.path === null ? null : (contentsOf(_options)?.localPath(_options.path) ?? _options.path);
    this.model = new DeployModel({ model, update, path });
    contentsOf(_options)?.fileChanged.connect(this._onFile, this);
    this._marks = new Marks(_options.editors, each => contentsOf(_options)?.localPath(each) ?? each);
    this._unsaved = new Unsaved(_options.editors, each => contentsOf(_options)?.localPath(each) ?? each);
    this._unsaved.changed.connect(this._tellUnsaved, this);
    this._unsaved.edited.connect((_, text) => void this.model.check(text), this);
    this.model.changed.connect(this._onModel, this);
    void this.model.begin();
    whileSeen(
      this,
      () => this._show(),
      () => this._hide()
    );
    this._canOpen = documents !== null;
  }

  readonly model: DeployModel;

  /** What it makes a service of; null: nothing was chosen, or it makes the next revision of one. */
  get folder(): string | null {
    return this.model.update === null ? this.model.path : null;
  }

  dispose(): void {
    if (!this.isDisposed) {
      this._watch?.dispose();
      contentsOf(this._options)?.fileChanged.disconnect(this._onFile, this);
      this._unsaved.dispose();
      this._marks.dispose();
      this.model.dispose();
      super.dispose();
    }
  }

  protected onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    if (!this.node.contains(document.activeElement)) {
      this.node.querySelector<HTMLElement>('input:not(:disabled), button:not(:disabled)')?.focus();
    }
  }

  protected render(): JSX.Element {
    return <Drawn changed={this.model.changed} draw={() => this._draw()} />;
  }

  /** GPUs that are free now, and copies that are made, are told while it is seen. */
  private _show(): void {
    if (this._watch === null) {
      this._watch = this.model.services.watch();
      void this.model.services.refreshOffer();
    }
  }

  private _hide(): void {
    this._watch?.dispose();
    this._watch = null;
  }

  private _draw(): JSX.Element {
    const { update, services } = this.model;
    const { trans } = services;
    return (
      <>
        <Heading
          text={update === null ? trans.__('New model service') : trans.__('Update %1', update)}
          step={this.model.stage}
        />
        {this._step()}
      </>
    );
  }

  private _step(): JSX.Element {
    const { model } = this;
    const { trans, offer } = model.services;
    const onOpen = this._canOpen && model.path !== null ? this._open : null;
    switch (model.stage) {
      case 'choose':
        return (
          <Chooser
            path={model.path ?? ''}
            refused={model.refused}
            trans={trans}
            onChoose={path => void model.look(path)}
            onBrowse={this._canOpen ? () => void this._browse() : null}
          />
        );
      case 'looking':
        return <Notice kind="busy" text={trans.__('Looking at the folder …')} />;
      case 'wizard':
        return this._wizard(trans);
      case 'form':
        return (
          <>
            <DeployForm
              update={model.update}
              folder={model.folder === null ? (this._folderOfService ?? '') : `/${model.folder.path}`}
              problems={model.problems}
              unsaved={model.unsaved}
              blocked={model.blocked}
              values={model.values}
              wrong={model.wrong}
              kept={this._revision?.environment ?? []}
              offer={offer}
              busy={model.busy}
              refused={model.refused}
              trans={trans}
              onChange={part => model.set(part)}
              onDeploy={() => void this._deploy()}
              onCheck={() => void model.checkAgain()}
              onSave={() => void this._unsaved.save()}
              onOpen={onOpen}
              onOther={model.update === null ? () => model.chooseAgain() : null}
            />
            {model.folder !== null && this._tryout(trans)}
          </>
        );
    }
  }

  private _wizard(trans: TranslationBundle): JSX.Element {
    const { model } = this;
    const { site } = model.services;
    return site === null ? (
      <Notice kind="busy" text={trans.__('Asking what kinds of models there are …')} />
    ) : (
      <Wizard
        key={model.path}
        folder={`/${model.path}`}
        kinds={site.kinds}
        guesses={model.folder?.guesses ?? []}
        trans={trans}
        onDraft={(kind, fields, write) => model.draft(kind, fields, write)}
        onWritten={draft => void this._written(draft)}
        onOther={model.update === null ? () => model.chooseAgain() : null}
      />
    );
  }

  private _tryout(trans: TranslationBundle): JSX.Element {
    const { model } = this;
    const { dryRun } = model;
    return (
      <Tryout
        samples={model.folder?.requests ?? []}
        phases={dryRun.phases}
        sentence={dryRun.sentence}
        log={dryRun.log}
        answer={dryRun.answer}
        outcome={dryRun.outcome}
        blocked={model.blocked}
        trans={trans}
        onStart={request => void model.tryOut(request)}
        onStop={() => void dryRun.stop()}
      />
    );
  }

  /** The definition and the server, where one was written, are opened beside the form, which goes on. */
  private async _written({ written }: Draft): Promise<void> {
    const shown = written.filter(each => /\.(ya?ml|py)$/.test(each));
    await this.model.look(this.model.path ?? '');
    for (const file of this._canOpen ? shown.reverse() : []) {
      await this._openFile(file, null);
    }
  }

  private get _revision() {
    const service = this.model.service;
    return service?.revisions.find(each => each.number === service.revision);
  }

  private get _folderOfService(): string | undefined {
    return this._revision?.folder;
  }

  /** Opens what came of it and goes. */
  private async _deploy(): Promise<void> {
    const key = await this.model.deploy();
    if (key !== null) {
      await this._options.commands.execute(CommandIDs.open, { key });
      this.parent?.close();
    }
  }

  private readonly _open = (file: string, line: number | null) => void this._openFile(file, line);

  private async _openFile(file: string, line: number | null): Promise<void> {
    const { path } = this.model;
    await openAt(this._options, path ? `${path}/${file}` : file, line, this.parent);
  }

  private async _browse(): Promise<void> {
    const { documents } = this._options;
    if (documents === null) {
      return;
    }
    const { FileDialog } = await import('@jupyterlab/filebrowser');
    const answer = await FileDialog.getExistingDirectory({
      manager: documents,
      title: this.model.services.trans.__('Model folder')
    });
    const chosen = answer.button.accept ? answer.value?.[0] : undefined;
    if (chosen !== undefined) {
      await this.model.look(documents.services.contents.localPath(chosen.path));
    }
  }

  /** A file of the folder was saved here: what is wrong with it may be mended. */
  private _onFile(_: Contents.IManager, change: Contents.IChangedArgs): void {
    const { path, stage } = this.model;
    const file = change.newValue?.path ?? change.oldValue?.path;
    if (path !== null && file !== undefined && (stage === 'form' || stage === 'wizard')) {
      const local = contentsOf(this._options)?.localPath(file) ?? file;
      if (/(^|\/)model-(definition\.ya?ml|requests\.json)$/.test(local) && folderOf(local) === path) {
        void this.model.look(path);
      }
    }
  }

  private _onModel(): void {
    const { folder, problems } = this.model;
    this._unsaved.folder = folder?.path ?? null;
    if (problems.length !== this._marked.length || problems.some((each, i) => each !== this._marked[i])) {
      this._marked = problems;
      this._marks.show(folder?.path ?? '', folder === null ? [] : problems);
    }
  }

  private _tellUnsaved(): void {
    this.model.unsaved = this._unsaved.names;
  }

  private readonly _canOpen: boolean;
  private readonly _marks: Marks;
  private readonly _unsaved: Unsaved;
  private _marked: readonly Problem[] = [];
  private _watch: IDisposable | null = null;
}

/** Whoever pressed a button that has gone with its step goes on from here. */
function Heading({ text, step }: { text: string; step: Stage }): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  const before = useRef(step);
  useEffect(() => {
    if (before.current !== step && document.activeElement === document.body) {
      heading.current?.focus();
    }
    before.current = step;
  }, [step]);
  return (
    <h2 ref={heading} tabIndex={-1}>
      {text}
    </h2>
  );
}

function contentsOf({ documents }: DeployOptions): Contents.IManager | undefined {
  return documents?.services.contents;
}

function folderOf(path: string): string {
  return path.split('/').slice(0, -1).join('/');
}
